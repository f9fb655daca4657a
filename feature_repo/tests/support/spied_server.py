"""`python spied_server.py ours|feasts serve …`: a feature server that says at /spies what Feast's own code did in it.

`ours` has the changes of streamflow_repo.server, `feasts` has none of them.
"""

import gc
import sys
from collections import Counter
from typing import Any

from feast import utils
from feast.cli.cli import cli
from streamflow_repo.server.__main__ import main
from streamflow_repo.server.apps import change_apps

_done: Counter[str] = Counter()


def _counted(owner: Any, name: str) -> None:
    original = getattr(owner, name)

    def counting(*args: Any, **kwargs: Any) -> Any:
        _done[name] += 1
        return original(*args, **kwargs)

    setattr(owner, name, counting)


def _add_route() -> None:
    async def spies() -> dict[str, int]:
        return {**_done, "frozen": gc.get_freeze_count()}

    change_apps(lambda app, _store: app.add_api_route("/spies", spies))


if __name__ == "__main__":
    whose = sys.argv.pop(1)
    _counted(utils, "_get_unique_entities")
    _add_route()
    main() if whose == "ours" else cli()
