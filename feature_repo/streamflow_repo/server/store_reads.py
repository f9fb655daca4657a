"""Reads through to the online store that no caller asked for."""

import asyncio

from feast import FeatureStore, ValueType


class NoViewsError(Exception):
    """The registry has no feature view."""


async def read_each_view(store: FeatureStore, *, timeout_s: float) -> None:
    """Read one row, which need not exist, of each feature view.

    Raises NoViewsError, TimeoutError, and what Feast and Redis raise.
    """
    keys = {entity.join_key: _any_key(entity.value_type) for entity in store.list_entities(allow_cache=True)}
    views = store.list_feature_views(allow_cache=True)
    if not views:
        raise NoViewsError("the registry has no feature view")
    async with asyncio.timeout(timeout_s):
        for view in views:
            row = {name: keys[name] for name in view.join_keys if name in keys}
            features = [f"{view.name}:{field.name}" for field in view.features]
            await store.get_online_features_async(features=features, entity_rows=[row])


def _any_key(value_type: ValueType) -> str | int:
    return 0 if value_type in {ValueType.INT32, ValueType.INT64} else "0"
