"""Feast's own command line, with what makes `feast serve` cheaper and steadier.

The online store is this repository's, which asks Redis once for each user. Replies are written faster, see `replies`.
The registry is refreshed again after an outage of PostgreSQL, see `registry_refresh`.
And the garbage collector is kept off what the start leaves in memory: a full collection goes through all that importing
Feast has made, and holds every request up for longer than a hundred reads take. What is frozen before the workers are
forked is left out of it, and stays shared between them.
"""

import gc
import json
import os

from feast.cli.cli import cli

from streamflow_repo.server.redis_commands import pack_by_hiredis
from streamflow_repo.server.registry_refresh import outlast_outages
from streamflow_repo.server.replies import remember_timestamps, write_at_once

_ONLINE_STORE = "streamflow_repo.server.online_store.OneReadRedisOnlineStore"


def main() -> None:
    """Run Feast with this process's arguments."""
    os.environ["FEAST_ONLINE_STORE"] = json.dumps(_ONLINE_STORE)
    pack_by_hiredis()
    remember_timestamps()
    write_at_once()
    outlast_outages()
    os.register_at_fork(before=_freeze)
    cli()


def _freeze() -> None:
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main()
