"""Entity rows from an SQL query of the caller's."""

import psycopg
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.arrow_types import carried_column, postgres_type
from streamflow_offline.training_set.entities import StagedEntities, order_asked, refuse_taken, time_column
from streamflow_offline.training_set.names import ASKED_TABLE, ENTITY_ROW, EVENT_TIMESTAMP
from streamflow_offline.training_set.verbatim import verbatim

_WHERE = "--entity-query"
_TIMES = {"date", "timestamp", "timestamptz"}


def stage_query(
    connection: psycopg.Connection, query: str, *, join_key: str, features: frozenset[str], by_day: bool
) -> StagedEntities:
    """Stage the rows of an SQL query, in the order in which it gives them.

    Raises JobError for a query that PostgreSQL refuses, for columns that are missing or taken, and for rows that no
    training set can have.
    """
    query = query.strip().rstrip(";")
    try:
        described = (
            connection.execute(sql.SQL("SELECT * FROM ({}) AS q LIMIT 0").format(verbatim(query))).description or []
        )
        names = [column.name for column in described]
        time = time_column(names, where=_WHERE, join_key=join_key)
        types = {column.name: postgres_type(column.type_code) for column in described}
        if types[time] not in _TIMES:
            raise JobError(f"{_WHERE} has {time} as {types[time]}; cast it to timestamptz")
        further = [name for name in names if name not in {join_key, time}]
        refuse_taken(further, where=_WHERE, features=features)
        columns = sql.SQL(", ").join(
            [
                # A window without an order counts rows as the query gives them.
                sql.SQL("row_number() OVER () - 1 AS {}").format(sql.Identifier(ENTITY_ROW)),
                sql.SQL("{0}::text AS {0}").format(sql.Identifier(join_key)),
                sql.SQL("{}::timestamptz AS {}").format(sql.Identifier(time), sql.Identifier(EVENT_TIMESTAMP)),
                *map(sql.Identifier, further),
            ]
        )
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM ({}) AS q").format(
                sql.Identifier(ASKED_TABLE), columns, verbatim(query)
            )
        )
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except psycopg.Error as error:
        raise JobError(f"PostgreSQL refuses {_WHERE}: {error.diag.message_primary or error}") from error
    carried = tuple(carried_column(name, source_type=types[name]) for name in further)
    return order_asked(
        connection, join_key=join_key, carried=carried, by_day=by_day, where=_WHERE, source={"query": query}
    )
