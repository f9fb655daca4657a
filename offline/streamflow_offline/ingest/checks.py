"""What a month's files must be like for any of it to be loaded."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaError, SchemaErrors
from streamflow_repo import JOIN_KEY, USER_ID_PATTERN

from streamflow_offline.errors import JobError
from streamflow_offline.ingest.csv_file import LINE, read_csv
from streamflow_offline.ingest.problems import MAX_LINES, BadFileError, Problem, shown, told
from streamflow_offline.months import MonthFolder
from streamflow_offline.tables import TABLES, USERS, Column, ColumnType, Table

_MAX_INT = 2**31 - 1
_EXPECTED = {
    ColumnType.TEXT: "text",
    ColumnType.DATE: "a date such as 2024-01-31",
    ColumnType.BOOL: "True or False",
    ColumnType.INT: f"a whole number from 0 to {_MAX_INT}",
    ColumnType.NUMERIC: "a number from 0 up",
}
_NUMBER_PATTERNS = {
    ColumnType.INT: "^-?[0-9]+$",
    ColumnType.NUMERIC: r"^-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$",
}
_KEPT_FAILURES = 1
"""How many bad values pandera copies for each check: a file may consist of them, and the rows are at hand anyway."""

_NEGATIVE_PATTERN = "^-[0.]*[1-9]"
_POSITIVE_PATTERN = "^[0.]*[1-9]"
_NOT_FINITE_PATTERN = "(?i)^[+-]?(?:nan|inf|infinity)$"


@dataclass(frozen=True, kw_only=True)
class CheckedMonth:
    """A month whose files may be loaded, as long as they stay what they were when they were checked."""

    folder: MonthFolder

    digests: dict[str, bytes]
    """The SHA-256 of each table's file."""


def check_months(folders: Iterable[MonthFolder], *, on_progress: Callable[[str], None]) -> list[CheckedMonth]:
    """Read every file of every month and return the months; raise JobError that tells each bad file's problems.

    Memory is bounded by the largest file, of which at most one is held at a time.
    """
    months, bad_months, bad_files = [], [], []
    for folder in folders:
        month, bad = _check_month(folder, on_progress=on_progress)
        months.append(month)
        if bad:
            bad_months.append(folder.path.name)
            bad_files += bad
    if bad_files:
        nothing = "nothing of any month was loaded" if len(months) > 1 else "nothing was loaded"
        files = "\n".join(bad_files)
        raise JobError(f"{nothing}: correct these files of {', '.join(bad_months)}, then ingest again\n{files}")
    return months


def digest(data: bytes) -> bytes:
    """Return what tells whether a file is still the one that was checked."""
    return hashlib.sha256(data).digest()


def _check_month(folder: MonthFolder, *, on_progress: Callable[[str], None]) -> tuple[CheckedMonth, list[str]]:
    digests: dict[str, bytes] = {}
    bad_files = []
    users: pl.Series | None = None
    for table in TABLES:
        path = folder.path / f"{table.name}.csv"
        problems: tuple[Problem, ...] = ()
        try:
            data = path.read_bytes()
            rows = read_csv(data, columns=(JOIN_KEY, *(column.name for column in table.csv_columns)))
        except FileNotFoundError:
            problems = (Problem(text="the file is missing"),)
        except OSError as error:
            problems = (Problem(text=f"the file can't be read: {error.strerror}"),)
        except BadFileError as error:
            problems = error.problems
        else:
            digests[table.name] = digest(data)
            if table is USERS:
                users = rows[JOIN_KEY]
            problems = _value_problems(rows, table, users=users)
            on_progress(f"checked {folder.path.name}/{path.name}: {rows.height:,} rows")
        if problems:
            bad_files.append(told(path, problems))
    bad_files += _unknown_files(folder)
    return CheckedMonth(folder=folder, digests=digests), bad_files


def _unknown_files(folder: MonthFolder) -> Iterator[str]:
    known = [f"{table.name}.csv" for table in TABLES]
    for path in sorted(folder.path.iterdir()):
        if path.suffix.lower() == ".csv" and path.name not in known:
            yield told(path, (Problem(text=f"the file is unknown; expected {', '.join(known)} and no other CSV"),))


def _value_problems(rows: pl.DataFrame, table: Table, *, users: pl.Series | None) -> tuple[Problem, ...]:
    try:
        # Said here, so that no PANDERA_* variable of the environment turns a check off.
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            _schema(table, users=None if table is USERS else users).validate(rows, lazy=True)
    except SchemaErrors as error:
        problems = [_value_problem(rows, failure) for failure in error.schema_errors]
        return tuple(sorted(problems, key=lambda problem: problem.lines[0]))
    return ()


def _value_problem(rows: pl.DataFrame, failure: SchemaError) -> Problem:
    if failure.check_output is None:
        # The check itself failed, which is no fault of the file's.
        raise failure
    bad = (~failure.check_output.to_series()).arg_true()
    value = rows[failure.column_name][bad[0]]
    return Problem(
        text=failure.check.error if value is None else f"{shown(value)} {failure.check.error}",
        column=failure.column_name,
        lines=tuple(rows[LINE].gather(bad.head(MAX_LINES))),
        rows=bad.len(),
    )


def _schema(table: Table, *, users: pl.Series | None) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {
            JOIN_KEY: pa.Column(pl.String, list(_id_checks(users)), nullable=True),
            **{column.name: pa.Column(pl.String, list(_checks(column)), nullable=True) for column in table.csv_columns},
        }
    )


def _id_checks(users: pl.Series | None) -> Iterator[pa.Check]:
    expected = f"a user id that matches {USER_ID_PATTERN}"
    yield _not_null(expected)
    yield pa.Check.str_matches(
        USER_ID_PATTERN, error=f"is no user id; expected {expected}", n_failure_cases=_KEPT_FAILURES
    )
    yield _check("is there more than once; expected one row a user", lambda value: ~value.is_duplicated())
    if users is not None:
        yield _check(
            f"is not in {USERS.name}.csv; expected a user of that file",
            lambda value: value.is_in(users.implode()) | ~value.str.contains(USER_ID_PATTERN),
        )


def _checks(column: Column) -> Iterator[pa.Check]:
    expected = _EXPECTED[column.type] + (", or an empty field" if column.nullable else "")
    if not column.nullable:
        yield _not_null(expected)
    match column.type:
        case ColumnType.TEXT:
            return
        case ColumnType.BOOL:
            yield pa.Check.isin(
                ["True", "False"], error=f"is not a truth value; expected {expected}", n_failure_cases=_KEPT_FAILURES
            )
        case ColumnType.DATE:
            yield _check(f"is not a date; expected {expected}", _is_date)
        case ColumnType.INT | ColumnType.NUMERIC:
            yield from _number_checks(column.type, expected)


def _number_checks(column_type: ColumnType, expected: str) -> Iterator[pa.Check]:
    # Each bad value fails exactly one of these.
    number = _NUMBER_PATTERNS[column_type]
    whole, beyond = (" whole", "too large") if column_type is ColumnType.INT else ("", "beyond the range of a double")
    yield _check(
        f"is not finite; expected {expected}",
        lambda value: ~value.str.contains(_NOT_FINITE_PATTERN),
    )
    yield _check(
        f"is not a{whole} number; expected {expected}",
        lambda value: value.str.contains(number) | value.str.contains(_NOT_FINITE_PATTERN),
    )
    yield _check(
        f"is negative; expected {expected}",
        lambda value: ~(value.str.contains(number) & value.str.contains(_NEGATIVE_PATTERN)),
    )
    yield _check(
        f"is {beyond}; expected {expected}",
        lambda value: _fits(value, column_type) | ~value.str.contains(number) | value.str.contains(_NEGATIVE_PATTERN),
    )


def _fits(value: pl.Expr, column_type: ColumnType) -> pl.Expr:
    if column_type is ColumnType.INT:
        return (value.cast(pl.Int64, strict=False) <= _MAX_INT).fill_null(value=False)
    # Snapshots hold doubles, and PostgreSQL refuses to round a number to 0 as it does to round it to infinity.
    double = value.cast(pl.Float64, strict=False)
    return double.is_finite().fill_null(value=False) & ((double != 0) | ~value.str.contains(_POSITIVE_PATTERN))


def _is_date(value: pl.Expr) -> pl.Expr:
    parsed = value.str.to_date("%Y-%m-%d", strict=False)
    return value.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$") & (parsed >= date.min).fill_null(value=False)


def _not_null(expected: str) -> pa.Check:
    return _check(f"the field is empty; expected {expected}", lambda value: value.is_not_null(), nulls=True)


def _check(error: str, good: Callable[[pl.Expr], pl.Expr], *, nulls: bool = False) -> pa.Check:
    """Return a check with an expression for the values that pass; unless `nulls`, every null passes."""

    def check(data: PolarsData) -> pl.LazyFrame:
        value = pl.col(data.key)
        return data.lazyframe.select(good(value) if nulls else good(value) | value.is_null())

    return pa.Check(check, error=error, n_failure_cases=_KEPT_FAILURES)
