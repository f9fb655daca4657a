"""Entity rows from PostgreSQL: label snapshots, or the caller's SQL query."""

from collections.abc import Sequence
from datetime import date

import psycopg
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.tables import LABELS
from streamflow_offline.training_set.columns import (
    AS_OF,
    ENTITY_ROW,
    EVENT_TIMESTAMP,
    OUTPUT_ROW,
    carried_column,
    postgres_type,
    request_column,
)
from streamflow_offline.training_set.entities import (
    ASKED_TABLE,
    StagedEntities,
    create_entities,
    order_asked,
    refuse_duplicates,
    refuse_taken,
    time_column,
)
from streamflow_offline.training_set.on_demand import RequestField, refuse_missing
from streamflow_offline.training_set.postgres import key_indexes

LABEL_TABLE = sql.Identifier(str(LABELS.snapshot_name))
LABEL = LABELS.snapshot_columns[0]

_WHERE = "--entity-query"
_TIMES = {"date", "timestamp", "timestamptz"}


def stage_labels(connection: psycopg.Connection, *, as_of: tuple[date, ...], join_key: str) -> StagedEntities:
    """Stage the label snapshots of some days, or of all days, ordered by day and key.

    Raises JobError for a day without snapshots, and when there are no snapshots.
    """
    days = _chosen(_days(connection), as_of)
    if not key_indexes(connection, LABEL_TABLE, [join_key, AS_OF]).unique:
        refuse_duplicates(connection, LABEL_TABLE, join_key=join_key, time=AS_OF, where=LABEL_TABLE.as_string())
    create_entities(
        connection,
        sql.SQL(
            'SELECT row_number() OVER (ORDER BY {as_of}, {key} COLLATE "C") AS {output_row}, {key},'
            " {as_of}::timestamp AT TIME ZONE 'UTC' AS {time}, {as_of}, {label} FROM {table} WHERE {as_of} IN ({days})"
        ).format(
            as_of=sql.Identifier(AS_OF),
            key=sql.Identifier(join_key),
            output_row=sql.Identifier(OUTPUT_ROW),
            time=sql.Identifier(EVENT_TIMESTAMP),
            label=sql.Identifier(LABEL.name),
            table=LABEL_TABLE,
            days=sql.SQL(", ").join(sql.Literal(day) for day, _ in days),
        ),
    )
    return StagedEntities(
        rows=sum(rows for _, rows in days),
        days=days,
        carried=(carried_column(LABEL.name, source_type=LABEL.type.value.lower()),),
        own_order=False,
        source={"labels": LABELS.snapshot_name},
        # The state of the label table is among the sources.
        content=",".join(day.isoformat() for day, _ in days),
    )


def _days(connection: psycopg.Connection) -> dict[date, int]:
    days: dict[date, int] = {}
    if connection.execute("SELECT to_regclass(%s) IS NULL", (LABEL_TABLE.as_string(),)).fetchone() != (True,):
        query = sql.SQL("SELECT {as_of}, count(*) FROM {table} GROUP BY 1 ORDER BY 1")
        days = dict(connection.execute(query.format(as_of=sql.Identifier(AS_OF), table=LABEL_TABLE)).fetchall())
    if not days:
        raise JobError("there are no label snapshots in this database; load months with `offline ingest`")
    return days


def _chosen(days: dict[date, int], as_of: tuple[date, ...]) -> tuple[tuple[date, int], ...]:
    missing = sorted(set(as_of) - set(days))
    if missing:
        raise JobError(
            f"there are no label snapshots of {', '.join(map(str, missing))}; there are of "
            f"{', '.join(map(str, days))}: choose among these, or load the month with `offline ingest`"
        )
    return tuple((day, days[day]) for day in sorted(as_of or days))


def stage_query(
    connection: psycopg.Connection,
    query: str,
    *,
    join_key: str,
    features: frozenset[str],
    request: Sequence[RequestField],
    by_day: bool,
) -> StagedEntities:
    """Stage the rows of the caller's SQL query in the query's order.

    Raises JobError for a query that PostgreSQL refuses, for columns that are missing or taken, and for rows that a
    training set can't have.
    """
    query = query.strip().rstrip(";")
    try:
        described = (
            connection.execute(sql.SQL("SELECT * FROM ({}) AS q LIMIT 0").format(sql.SQL(query))).description or []
        )
        names = [column.name for column in described]
        time = time_column(names, where=_WHERE, join_key=join_key)
        types = {column.name: postgres_type(column.type_code) for column in described}
        if types[time] not in _TIMES:
            raise JobError(f"{_WHERE} has {time} as {types[time]}; cast it to timestamptz")
        further = [name for name in names if name not in {join_key, time}]
        refuse_taken(further, where=_WHERE, features=features)
        refuse_missing(further, request, where=_WHERE)
        columns = sql.SQL(", ").join(
            [
                # A window without ORDER BY counts the rows in the query's order.
                sql.SQL("row_number() OVER () - 1 AS {}").format(sql.Identifier(ENTITY_ROW)),
                sql.SQL("{0}::text AS {0}").format(sql.Identifier(join_key)),
                sql.SQL("{}::timestamptz AS {}").format(sql.Identifier(time), sql.Identifier(EVENT_TIMESTAMP)),
                *map(sql.Identifier, further),
            ]
        )
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM ({}) AS q").format(
                sql.Identifier(ASKED_TABLE), columns, sql.SQL(query)
            )
        )
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except psycopg.Error as error:
        raise JobError(f"PostgreSQL refuses {_WHERE}: {error.diag.message_primary or error}") from error
    dtypes = {field.name: field.dtype for field in request}
    carried = tuple(
        request_column(name, dtype=dtypes[name], source_type=types[name], where=_WHERE)
        if name in dtypes
        else carried_column(name, source_type=types[name])
        for name in further
    )
    return order_asked(
        connection, join_key=join_key, carried=carried, by_day=by_day, where=_WHERE, source={"query": query}
    )
