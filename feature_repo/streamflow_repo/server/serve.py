"""Feast's command line with the changes of this package."""

import gc
import json
import os

from feast.cli.cli import cli

from streamflow_repo.server.online_store import OneReadRedisOnlineStore
from streamflow_repo.server.registry_refresh import outlast_outages
from streamflow_repo.server.replies import write_replies_at_once
from streamflow_repo.server.warm_start import read_at_start


def serve() -> None:
    """Run Feast with this process's arguments."""
    store = OneReadRedisOnlineStore
    os.environ["FEAST_ONLINE_STORE"] = json.dumps(f"{store.__module__}.{store.__qualname__}")
    write_replies_at_once()
    read_at_start()
    outlast_outages()
    freeze_before_fork()
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
