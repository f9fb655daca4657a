"""Feast's command line with the changes of this package."""

import gc
import os
from typing import TYPE_CHECKING

from feast.cli.cli import cli

from streamflow_repo.server.gunicorn_log import log_as_this_process
from streamflow_repo.server.reads_only import leave_out_writes
from streamflow_repo.server.registry_refresh import outlast_outages
from streamflow_repo.server.rows.route import add_rows_route
from streamflow_repo.server.store_health import tell_store_health
from streamflow_repo.server.traces import trace_reads
from streamflow_repo.server.warm_start import read_at_start
from streamflow_repo.settings.feature_server import Routes

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import TracerProvider


def serve(routes: Routes, make_provider: "Callable[[], TracerProvider] | None" = None) -> None:
    """Run Feast with this process's arguments; `make_provider` makes what traces reads, None for no traces."""
    if routes is Routes.READS:
        leave_out_writes()
    tell_store_health()
    read_at_start()
    add_rows_route()
    if make_provider is not None:
        # Around all routes.
        trace_reads(make_provider)
    outlast_outages()
    freeze_before_fork()
    log_as_this_process()
    cli()


def freeze_before_fork() -> None:
    """Have the garbage collector of the workers skip everything that the start left in memory.

    A full collection otherwise goes through all that importing Feast has made, and holds up every request for longer
    than a hundred reads take. What is frozen also stays shared between the workers.
    """
    os.register_at_fork(before=_freeze)


def _freeze() -> None:
    gc.collect()
    gc.freeze()
