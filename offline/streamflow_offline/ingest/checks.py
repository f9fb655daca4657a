"""The checks of a file's values."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl
from streamflow_repo import JOIN_KEY, USER_ID_PATTERN

from streamflow_offline.ingest.csv_rows import LINE
from streamflow_offline.ingest.problems import Problem, shown
from streamflow_offline.tables import USERS, Column, ColumnType, Table

_MAX_INT = 2**31 - 1
_EXPECTED = {
    ColumnType.TEXT: "text",
    ColumnType.DATE: "a date such as 2024-01-31",
    ColumnType.BOOL: "True or False",
    ColumnType.INT: f"a whole number from 0 to {_MAX_INT}",
    ColumnType.NUMERIC: "a number from 0 up",
}
_EXPECTED_ID = f"a user id that matches {USER_ID_PATTERN}"
_NUMBER_PATTERNS = {
    ColumnType.INT: "^-?[0-9]+$",
    ColumnType.NUMERIC: r"^-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$",
}
_NEGATIVE_PATTERN = "^-[0.]*[1-9]"
_POSITIVE_PATTERN = "^[0.]*[1-9]"
_NOT_FINITE_PATTERN = "(?i)^[+-]?(?:nan|inf|infinity)$"


@dataclass(frozen=True, kw_only=True)
class _Check:
    column: str
    text: str
    """What is said after a bad value."""

    bad: pl.Expr


class TableCheck:
    """Checks the rows of one table's file; holds no more of them than the user ids."""

    def __init__(self, table: Table, *, users: pl.Series | None) -> None:
        """Creates the checks of a table; without the ids of `users`, any well-formed id is a user."""
        self._users = None if table is USERS else users
        self._checks = [*_id_checks(), *(check for column in table.csv_columns for check in _checks(column))]
        self._problems: dict[str, Problem] = {}
        self._ids: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Check some rows, with the line of each."""
        bad = rows.select(check.bad.fill_null(value=False).alias(str(i)) for i, check in enumerate(self._checks))
        for check, found in zip(self._checks, bad.select(pl.all().any()).row(0), strict=True):
            if found:
                self._note(rows.filter(check.bad), column=check.column, text=check.text)
        self._ids.append(rows.lazy().select(JOIN_KEY, LINE).filter(_is_id(pl.col(JOIN_KEY))).collect())

    def finish(self) -> tuple[pl.Series, list[Problem]]:
        """Return the well-formed ids of all rows, and what is wrong with the rows, in the order of the first lines."""
        ids = pl.concat(self._ids)
        self._ids = []
        if ids[JOIN_KEY].n_unique() < ids.height:
            repeated = ids.filter(pl.col(JOIN_KEY).is_duplicated())
            self._note(repeated, column=JOIN_KEY, text="is there more than once; expected one row a user")
        if self._users is not None:
            strangers = ids.filter(~pl.col(JOIN_KEY).is_in(self._users.implode()))
            self._note(strangers, column=JOIN_KEY, text=f"is not in {USERS.name}.csv; expected a user of that file")
        return ids[JOIN_KEY], sorted(
            self._problems.values(), key=lambda problem: (problem.lines[0], problem.column != JOIN_KEY)
        )

    def _note(self, rows: pl.DataFrame, *, column: str, text: str) -> None:
        if rows.is_empty():
            return
        value = rows[column][0]
        problem = Problem(text=text if value is None else f"{shown(value)} {text}", column=column)
        self._problems.setdefault(f"{column} {text}", problem).add(rows[LINE], rows=rows.height)


def _id_checks() -> Iterator[_Check]:
    yield _empty(JOIN_KEY, _EXPECTED_ID)
    text = f"is not a user id; expected {_EXPECTED_ID}"
    yield _Check(column=JOIN_KEY, text=text, bad=~_is_id(pl.col(JOIN_KEY)))


def _is_id(value: pl.Expr) -> pl.Expr:
    return value.str.contains(USER_ID_PATTERN)


def _checks(column: Column) -> Iterator[_Check]:
    expected = _EXPECTED[column.type] + (", or an empty field" if column.nullable else "")
    if not column.nullable:
        yield _empty(column.name, expected)
    for text, bad in _value_checks(column.type, pl.col(column.name)):
        yield _Check(column=column.name, text=f"{text}; expected {expected}", bad=bad)


def _value_checks(column_type: ColumnType, value: pl.Expr) -> Iterator[tuple[str, pl.Expr]]:
    """Yield what is said of bad values, and which values are bad; a bad value fails exactly one check."""
    if column_type is ColumnType.BOOL:
        yield "is not a truth value", ~value.is_in(["True", "False"])
    elif column_type is ColumnType.DATE:
        yield "is not a date", ~_is_date(value)
    elif column_type in _NUMBER_PATTERNS:
        is_int = column_type is ColumnType.INT
        number, negative = (value.str.contains(p) for p in (_NUMBER_PATTERNS[column_type], _NEGATIVE_PATTERN))
        not_finite = value.str.contains(_NOT_FINITE_PATTERN)
        yield "is not finite", not_finite
        yield f"is not a{' whole' if is_int else ''} number", ~number & ~not_finite
        yield "is negative", number & negative
        fits = _fits_int(value) if is_int else _fits_double(value)
        yield f"is {'too large' if is_int else 'beyond the range of a double'}", number & ~negative & ~fits


def _fits_int(value: pl.Expr) -> pl.Expr:
    return (value.cast(pl.Int64, strict=False) <= _MAX_INT).fill_null(value=False)


def _fits_double(value: pl.Expr) -> pl.Expr:
    # Snapshots hold doubles. PostgreSQL refuses to round a number to 0, as it refuses to round it to infinity.
    double = value.cast(pl.Float64, strict=False)
    return double.is_finite().fill_null(value=False) & ((double != 0) | ~value.str.contains(_POSITIVE_PATTERN))


def _is_date(value: pl.Expr) -> pl.Expr:
    parsed = value.str.to_date("%Y-%m-%d", strict=False)
    is_in_range = (parsed >= date.min).fill_null(value=False)
    # A null stays null, and so passes.
    return value.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$") & (is_in_range | value.is_null())


def _empty(column: str, expected: str) -> _Check:
    return _Check(column=column, text=f"the field is empty; expected {expected}", bad=pl.col(column).is_null())
