"""What a run asks PostgreSQL about all users of Redis reads each row a few times, however many users there are."""

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql
from streamflow_offline.materialize import freshness
from streamflow_offline.materialize.newest import NewestRows, count_selected, take_newest
from streamflow_repo.definitions.views import payments_agg_90d_fv

_USERS = 2000
_MOST_READS_OF_A_ROW = 4


def _differing(connection: psycopg.Connection, rows: NewestRows) -> object:
    return count_selected(connection, rows, freshness.differs_online(rows))


def _newer(connection: psycopg.Connection, rows: NewestRows) -> object:
    return count_selected(connection, rows, freshness.newer_online(rows))


def _departed(connection: psycopg.Connection, rows: NewestRows) -> object:
    return list(freshness._departed_users(connection, rows))


def _times_read(connection: psycopg.Connection, table: str) -> float:
    """How often a scan of the table gave a row in this transaction, divided by the table's rows."""
    query = "SELECT pg_stat_get_xact_tuples_returned(%s::regclass)"
    ((returned,),) = connection.execute(query, (f"pg_temp.{table}",)).fetchall()
    return float(returned) / _USERS


@pytest.mark.parametrize("question", [freshness.count_online, freshness.compare, _differing, _newer, _departed])
def test_no_question_reads_all_users_again_for_each_user(
    applied_url: str, question: Callable[[psycopg.Connection, NewestRows], object]
) -> None:
    with psycopg.connect(applied_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO payments_agg_90d_snapshots (user_id, as_of, ingested_at, failed_payments_90d)"
            " SELECT 'user ' || number, '2024-01-31', now(), 1 FROM generate_series(1, %s) AS number",
            (_USERS,),
        )
        (rows,) = take_newest(connection, [payments_agg_90d_fv], until=datetime.now(UTC))
        connection.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE online AS SELECT 'user ' || number AS user_id,"
                " timestamp '2024-01-31' AS event_0 FROM generate_series(1, {}) AS number"
            ).format(_USERS)
        )
        connection.execute("ANALYZE pg_temp.online")
        with connection.transaction():
            question(connection, rows)
            read = {table: _times_read(connection, table) for table in ("newest_0", "online")}
    assert min(read.values()) >= 1
    assert max(read.values()) <= _MOST_READS_OF_A_ROW
