"""Generated months for a database that has none, so that a new stack has something to serve."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from streamflow_offline.feast_store import connected
from streamflow_offline.generate.job import generate_months
from streamflow_offline.ingest.job import ingest
from streamflow_offline.ingest.schema import create_tables


def load_sample(postgres_url: str, *, on_progress: Callable[[str], None]) -> bool:
    """Load two generated months unless the database has a month; return whether it did. Raises JobError."""
    if has_months(postgres_url):
        return False
    with tempfile.TemporaryDirectory() as folder:
        generate_months(Path(folder))
        ingest(Path(folder), postgres_url=postgres_url, on_progress=on_progress)
    return True


def has_months(postgres_url: str) -> bool:
    """Return whether a month is loaded; makes the tables that are not there yet. Raises JobError."""
    with connected(postgres_url) as connection:
        create_tables(connection)
        row = connection.execute("SELECT EXISTS (SELECT FROM subscriptions_profile_snapshots)").fetchone()
    return row == (True,)
