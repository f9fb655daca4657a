"""Entity rows from label snapshots: each user and month that has a label."""

from datetime import date

import psycopg
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.tables import LABELS
from streamflow_offline.training_set.arrow_types import carried_column
from streamflow_offline.training_set.entities import StagedEntities, create_entities, refuse_duplicates
from streamflow_offline.training_set.names import AS_OF, EVENT_TIMESTAMP, OUTPUT_ROW
from streamflow_offline.training_set.sources import key_indexes

LABEL_TABLE = sql.Identifier(str(LABELS.snapshot_name))
LABEL = LABELS.snapshot_columns[0]


def stage_labels(connection: psycopg.Connection, *, as_of: tuple[date, ...], join_key: str) -> StagedEntities:
    """Stage the label snapshots of some days, all without any, in the order of day and key.

    Raises JobError for a day without snapshots, and without any snapshots.
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
        # The rows' own state is among the sources'.
        content=",".join(day.isoformat() for day, _ in days),
    )


def _days(connection: psycopg.Connection) -> dict[date, int]:
    if connection.execute("SELECT to_regclass(%s) IS NULL", (LABEL_TABLE.as_string(),)).fetchone() == (True,):
        raise JobError("there are no label snapshots in this database; load months with `offline ingest`")
    query = sql.SQL("SELECT {as_of}, count(*) FROM {table} GROUP BY 1 ORDER BY 1")
    days: dict[date, int] = dict(
        connection.execute(query.format(as_of=sql.Identifier(AS_OF), table=LABEL_TABLE)).fetchall()
    )
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
