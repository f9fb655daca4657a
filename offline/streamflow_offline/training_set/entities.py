"""Entity rows in a temporary table, in the order of the training set.

The table belongs to the job's session, so PostgreSQL drops it however the job ends.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.columns import AS_OF, ENTITY_ROW, EVENT_TIMESTAMP, OUTPUT_ROW, Column

ENTITIES_TABLE = "training_set_entities"
"""The temporary table of entity rows in the order of the training set."""

ASKED_TABLE = "training_set_asked"
"""The temporary table of the caller's rows in the caller's order."""

# The column names that the time of the caller's rows may have.
_TIME_COLUMNS = (EVENT_TIMESTAMP, "timestamp", AS_OF)
_MAX_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class StagedEntities:
    """The entity rows in `training_set_entities`."""

    rows: int

    days: tuple[tuple[date, int], ...]
    """The days of the rows' times in UTC, in order, each with its number of rows."""

    carried: tuple[Column, ...]
    """The columns besides key and time: the label, or the caller's further columns."""

    own_order: bool
    """Whether the rows are the caller's. Their positions are then in `entity_row`."""

    source: dict[str, Any]
    """The origin of the rows, as written to the manifest."""

    content: str
    """A value that is different for other rows and for another order."""


def time_column(names: list[str], *, where: str, join_key: str) -> str:
    """Return the name of the time column. Raises JobError when key or time is missing or a name is ambiguous."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise JobError(f"{where} has two columns named {twice[0]!r}; give each a name of its own")
    times = [name for name in _TIME_COLUMNS if name in names]
    missing = [join_key] if join_key not in names else []
    if not times:
        missing.append(f"a time ({', '.join(_TIME_COLUMNS)})")
    if missing:
        raise JobError(f"{where} lacks {' and '.join(missing)}; it has {', '.join(names) or 'no columns'}")
    if len(times) > 1:
        raise JobError(f"{where} has {' and '.join(times)}, and either could be the rows' time; leave one out")
    return times[0]


def refuse_taken(names: list[str], *, where: str, features: frozenset[str]) -> None:
    """Raise JobError for further columns whose names the training set already uses."""
    for name in names:
        if name in features:
            raise JobError(f"{where} has a column {name!r}, as the feature service has a feature; rename the column")
        if name in {AS_OF, ENTITY_ROW, EVENT_TIMESTAMP, OUTPUT_ROW}:
            raise JobError(f"{where} has a column {name!r}, which the training set writes itself; rename the column")


def order_asked(
    connection: psycopg.Connection,
    *,
    join_key: str,
    carried: tuple[Column, ...],
    by_day: bool,
    where: str,
    source: dict[str, Any],
) -> StagedEntities:
    """Check the rows of `training_set_asked` and copy them to `training_set_entities`, by day or in their order.

    Raises JobError when there are no rows, when a row has no time, and when two rows have the same key and time.
    """
    _refuse_bad_times(connection, where=where)
    refuse_duplicates(connection, sql.Identifier(ASKED_TABLE), join_key=join_key, time=EVENT_TIMESTAMP, where=where)
    columns = [join_key, EVENT_TIMESTAMP, ENTITY_ROW, *(column.name for column in carried)]
    day = sql.SQL("({} AT TIME ZONE 'UTC')::date").format(sql.Identifier(EVENT_TIMESTAMP))
    order = [*([day] if by_day else []), sql.Identifier(ENTITY_ROW)]
    create_entities(
        connection,
        sql.SQL("SELECT row_number() OVER (ORDER BY {}) AS {}, {} AS {}, {} FROM {}").format(
            sql.SQL(", ").join(order),
            sql.Identifier(OUTPUT_ROW),
            day,
            sql.Identifier(AS_OF),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier(ASKED_TABLE),
        ),
    )
    content = connection.execute(
        sql.SQL("SELECT count(*), bit_xor(hashtextextended(a::text, 0)) FROM {} AS a").format(
            sql.Identifier(ASKED_TABLE)
        )
    ).fetchone()
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(ASKED_TABLE)))
    counts = sql.SQL("SELECT {day}, count(*) FROM {table} GROUP BY 1 ORDER BY 1")
    days = connection.execute(counts.format(day=sql.Identifier(AS_OF), table=sql.Identifier(ENTITIES_TABLE))).fetchall()
    return StagedEntities(
        rows=sum(count for _, count in days),
        days=tuple(days),
        carried=carried,
        own_order=True,
        source=source,
        content=":".join(map(str, content or ())),
    )


def create_entities(connection: psycopg.Connection, query: sql.Composable) -> None:
    """Create `training_set_entities` from a query that returns its rows with their `output_row`."""
    table, index = sql.Identifier(ENTITIES_TABLE), sql.Identifier(OUTPUT_ROW)
    connection.execute(sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS {}").format(table, query))
    connection.execute(sql.SQL("CREATE UNIQUE INDEX ON {} ({})").format(table, index))
    connection.execute(sql.SQL("ANALYZE {}").format(table))


def refuse_duplicates(
    connection: psycopg.Connection, table: sql.Identifier, *, join_key: str, time: str, where: str
) -> None:
    """Raise JobError when rows have the same key and time."""
    key_and_time = sql.SQL("{}, {}").format(sql.Identifier(join_key), sql.Identifier(time))
    groups = connection.execute(
        sql.SQL(
            "SELECT *, sum(rows) OVER ()::bigint, count(*) OVER () FROM"
            " (SELECT {columns}, count(*) AS rows FROM {table} GROUP BY {columns} HAVING count(*) > 1) AS d"
            " ORDER BY {columns} LIMIT {limit}"
        ).format(columns=key_and_time, table=table, limit=sql.Literal(_MAX_NAMED))
    ).fetchall()
    if groups:
        *_, rows, found = groups[0]
        named = "; ".join(f"{count} rows of {key} at {when.isoformat()}" for key, when, count, *_ in groups)
        more = "; …" if found > len(groups) else ""
        raise JobError(
            f"{where} asks for {rows:,} rows more than once: {named}{more}. Leave one of each, as a training set has a "
            "row for each key and time"
        )


def _refuse_bad_times(connection: psycopg.Connection, *, where: str) -> None:
    bad = sql.SQL("{time} IS NULL OR {time} NOT BETWEEN '0001-01-01 00:00Z' AND '9999-12-31 23:59:59.999999Z'").format(
        time=sql.Identifier(EVENT_TIMESTAMP)
    )
    query = sql.SQL("SELECT count(*), count(*) FILTER (WHERE {bad}), min({row}) FILTER (WHERE {bad}) FROM {table}")
    rows, bad_rows, first = connection.execute(
        query.format(bad=bad, row=sql.Identifier(ENTITY_ROW), table=sql.Identifier(ASKED_TABLE))
    ).fetchone() or (0, 0, None)
    if not rows:
        raise JobError(f"{where} has no rows; give it the rows to build")
    if bad_rows:
        raise JobError(
            f"{where} has {bad_rows:,} rows without a time from year 1 to 9999, the first of them row {first + 1:,}; "
            "give each row the time as of which its features are wanted"
        )
