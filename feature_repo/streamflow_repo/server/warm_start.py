"""A read as each worker starts, ahead of its first request.

The first read of a worker makes what all later reads use: connections to Redis, and what Feast remembers of the
registry. On a busy machine that takes longer than Redis is given, and a server that is alone in service then fails.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from feast import FeatureStore
from streamflow_logs import Event

from streamflow_repo.logs import said
from streamflow_repo.server.apps import change_apps
from streamflow_repo.server.store_reads import read_each_view

_log = logging.getLogger(__name__)
_TIMEOUT_S = 5.0


def read_at_start() -> None:
    """Have the apps of this process read from the online store before they take requests, or try to for 5 s."""
    change_apps(_read_ahead)


def _read_ahead(app: Any, store: FeatureStore) -> None:
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def reading(started: Any) -> AsyncIterator[Any]:
        async with lifespan(started) as state:
            await _read(store)
            yield state

    app.router.lifespan_context = reading


async def _read(store: FeatureStore) -> None:
    try:
        await read_each_view(store, timeout_s=_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  # the server can still serve once its stores are back
        _log.warning(Event("first read failed", reason=said(error)))
