"""`offline sample`: generated months for an empty PostgreSQL."""

import os

from streamflow_logs import Event
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import show, tell


def sample() -> None:
    """Load generated months into a PostgreSQL that has no months yet; leave any other alone."""
    from streamflow_offline.sample.job import load_sample  # noqa: PLC0415  # commands load what they use

    postgres_url, _ = urls_from_environment(os.environ)
    loaded = load_sample(postgres_url, on_progress=tell)
    said = "loaded" if loaded else "PostgreSQL has months already"
    show(said, events=[Event("sample loaded") if loaded else Event("sample not needed", reason=said)])
