"""A read as each worker starts, ahead of its first request.

The first read of a worker makes what all later reads use: connections to Redis, and what Feast remembers of the
registry. On a busy machine that takes longer than Redis is given, and a server that is alone in service then fails.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from feast import FeatureStore, ValueType

from streamflow_repo.server.apps import change_apps

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
    keys = {entity.join_key: _any_key(entity.value_type) for entity in store.list_entities(allow_cache=True)}
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            for view in store.list_feature_views(allow_cache=True):
                row = {name: keys[name] for name in view.join_keys if name in keys}
                features = [f"{view.name}:{field.name}" for field in view.features]
                await store.get_online_features_async(features=features, entity_rows=[row])
    except Exception as error:  # noqa: BLE001  # the server can still serve once its stores are back
        _log.warning("the read at the start failed: %s: %s", type(error).__name__, error)


def _any_key(value_type: ValueType) -> str | int:
    return 0 if value_type in {ValueType.INT32, ValueType.INT64} else "0"
