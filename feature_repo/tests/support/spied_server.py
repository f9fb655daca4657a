"""`python spied_server.py ours|feasts serve …`: a feature server that says at /spies what Feast's own code did in it.

`ours` has the changes of streamflow_repo.server, `feasts` has none of them.
"""

import gc
import sys
from collections import Counter
from functools import partial
from typing import Any

import anyio.to_thread
from feast import feature_server_utils, utils
from feast.cli.cli import cli
from redis.asyncio.connection import AbstractConnection
from streamflow_repo.server.__main__ import main
from streamflow_repo.server.apps import change_apps

_done: Counter[str] = Counter()


def _counted(owner: Any, name: str) -> None:
    original = getattr(owner, name)

    def counting(*args: Any, **kwargs: Any) -> Any:
        _done[name] += 1
        return original(*args, **kwargs)

    setattr(owner, name, counting)


def _count_threads() -> None:
    run_sync = anyio.to_thread.run_sync

    def counting(work: Any, *args: Any, **kwargs: Any) -> Any:
        _done["in a thread: " + (work.func if isinstance(work, partial) else work).__name__] += 1
        return run_sync(work, *args, **kwargs)

    patched: Any = anyio.to_thread
    patched.run_sync = counting


def _add_route() -> None:
    async def spies() -> dict[str, int]:  # a plain function would run in a thread, which is counted
        return {**_done, "frozen": gc.get_freeze_count()}

    change_apps(lambda app, _store: app.add_api_route("/spies", spies))


if __name__ == "__main__":
    whose = sys.argv.pop(1)
    _counted(AbstractConnection, "pack_command")
    _counted(feature_server_utils, "_timestamp_to_str")
    _counted(utils, "_get_unique_entities")
    _count_threads()
    _add_route()
    main() if whose == "ours" else cli()
