"""The session that a training set is read in."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

_SETTINGS = {
    # A source's DATE or TIMESTAMP is in UTC, as Feast reads it.
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "extra_float_digits": "1",
    # Compiling a query and caching its probes cost more than they save: each probe is asked for once.
    "jit": "off",
    "enable_memoize": "off",
    # A scan that joins another's would give a query without an order its rows from the middle on.
    "synchronize_seqscans": "off",
    "work_mem": "64MB",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


@contextmanager
def one_state(connection: psycopg.Connection, *, schema: str) -> Iterator[None]:
    """Read one state of the tables throughout a block, with nothing left behind.

    It is one REPEATABLE READ transaction, which is rolled back. `schema` is where tables without one are.
    """
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with connection.transaction(force_rollback=True):
        for name, value in {**_SETTINGS, "search_path": schema}.items():
            _set(connection, name, value)
        # So that the server stops soon after the job was killed; servers on Windows can't.
        with suppress(psycopg.errors.InvalidParameterValue), connection.transaction():
            _set(connection, "client_connection_check_interval", "1s")
        yield


def _set(connection: psycopg.Connection, name: str, value: str) -> None:
    connection.execute("SELECT set_config(%s, %s, true)", (name, value))
