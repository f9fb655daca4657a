"""Entity rows from the caller's CSV file."""

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import psycopg
import pyarrow as pa
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.quoting import quoted
from streamflow_offline.training_set.columns import DTYPES, ENTITY_ROW, EVENT_TIMESTAMP, Column
from streamflow_offline.training_set.entities import ASKED_TABLE, StagedEntities, order_asked, refuse_taken, time_column
from streamflow_offline.training_set.on_demand import RequestField, refuse_missing

_BEGINS_WITH_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]|$)")

# A column has the first type whose pattern matches all of its values.
_TYPES = (
    (re.compile(r"(?i:true|false)"), pa.bool_()),
    (re.compile(r"-?(?:0|[1-9]\d{0,17})"), pa.int64()),
    (re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"), pa.float64()),
)


def stage_csv(
    connection: psycopg.Connection,
    path: Path,
    *,
    join_key: str,
    features: frozenset[str],
    request: Sequence[RequestField],
    by_day: bool,
) -> StagedEntities:
    """Stage the rows of a CSV file in their order.

    A time is an ISO 8601 day, or day and time; without an offset it is in UTC. An empty field is null. Request data has
    its type, and a further column the first type of Bool, Int64, Float64 and String that fits all of its values. Raises
    JobError for a file that can't be read, for columns that are missing or taken, and for rows that a training set
    can't have.
    """
    where = str(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            carried = _copy(connection, file, where=where, join_key=join_key, features=features, request=request)
    except OSError as error:
        raise JobError(f"{where} can't be read: {error.strerror}; give --entities a CSV file") from error
    except UnicodeDecodeError as error:
        raise JobError(f"{where} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except csv.Error as error:
        raise JobError(f"{where} is not a CSV file that can be read: {error}") from error
    return order_asked(
        connection, join_key=join_key, carried=carried, by_day=by_day, where=where, source={"csv": path.name}
    )


def _copy(
    connection: psycopg.Connection,
    file: IO[str],
    *,
    where: str,
    join_key: str,
    features: frozenset[str],
    request: Sequence[RequestField],
) -> tuple[Column, ...]:
    reader = csv.reader(file, strict=True)
    header = next(reader, [])
    time = time_column(header, where=where, join_key=join_key)
    further = [name for name in header if name not in {join_key, time}]
    refuse_taken(further, where=where, features=features)
    refuse_missing(further, request, where=where)
    requested = {field.name: field.dtype for field in request}
    lists = [name for name, dtype in requested.items() if pa.types.is_list(DTYPES[dtype])]
    if lists:
        raise JobError(f"{where} can't have the list {lists[0]}; bring the rows with --entity-query")
    columns = sql.SQL(", ").join(
        [
            sql.SQL("{} bigint").format(sql.Identifier(ENTITY_ROW)),
            sql.SQL("{} text").format(sql.Identifier(join_key)),
            sql.SQL("{} timestamptz").format(sql.Identifier(EVENT_TIMESTAMP)),
            *(sql.SQL("{} text").format(sql.Identifier(name)) for name in further),
        ]
    )
    table = sql.Identifier(ASKED_TABLE)
    connection.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(table, columns))
    key_at, time_at = header.index(join_key), header.index(time)
    further_at = [header.index(name) for name in further]
    possible = [list(_TYPES) for _ in further]
    seen = [False] * len(further)
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
        for number, row in enumerate(_rows(reader, width=len(header), where=where)):
            values = [row[at] or None for at in further_at]
            for place, value in enumerate(values):
                if value is not None:
                    seen[place] = True
                    possible[place] = [kind for kind in possible[place] if kind[0].fullmatch(value)]
            when = _moment(row[time_at], where=where, line=reader.line_num)
            copy.write_row((number, row[key_at] or None, when, *values))
    fitting = (
        found[0][1] if found and any_value else pa.string() for found, any_value in zip(possible, seen, strict=True)
    )
    types = dict(zip(further, fitting, strict=True)) | {name: DTYPES[dtype] for name, dtype in requested.items()}
    return tuple(Column(name=name, type=types[name], source_type="text") for name in further)


def _rows(reader: Iterator[list[str]], *, width: int, where: str) -> Iterator[list[str]]:
    for number, row in enumerate(reader, 1):
        if len(row) != width:
            raise JobError(f"{where}, row {number:,}, has {len(row)} fields; expected {width}, as the header has")
        yield row


def _moment(text: str, *, where: str, line: int) -> datetime:
    try:
        # fromisoformat also accepts 20240131 and weeks, and a number could be mistaken for those.
        moment = datetime.fromisoformat(text) if _BEGINS_WITH_DAY.match(text) else None
        if moment is not None:
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise JobError(
        f"{where}, line {line:,}: {quoted(repr(text))} is not a time; write 2024-01-31, or 2024-01-31T12:00:00+01:00"
    )
