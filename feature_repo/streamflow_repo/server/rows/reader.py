"""Reads rows from the online store of a feature store, by plans that are remembered."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from feast import FeatureStore

from streamflow_repo.server.rows.hashes import HashFields, read_hashes
from streamflow_repo.server.rows.plan import Plan, plan_of

_MAX_PLANS = 256
_MAX_SELECTION_BYTES = 64 * 1024

_references = msgspec.msgpack.Decoder(list[str]).decode


class RowsReader:
    """Reads rows; belongs to one event loop, as the online store's client does."""

    def __init__(self, store: FeatureStore) -> None:
        """Create a reader that has read nothing yet, and is not connected."""
        self._store = store
        self._plans: dict[bytes, tuple[Plan, list[HashFields]]] = {}
        self._registry_read_at: Any = None

    async def read(self, selection: bytes, columns: Mapping[str, Sequence[Any]]) -> tuple[Plan, list[Any]]:
        """Return the plan of a selection, and its rows.

        Raises msgspec.DecodeError for a selection that is not a list of texts, and what Feast raises.
        """
        plan, fields = self._plan(selection)
        keys = plan.keys(self._store, columns)
        online_store: Any = self._store._get_provider().online_store  # noqa: SLF001  # Feast has no public name for it
        client = await online_store._get_client_async(self._store.config.online_store)  # noqa: SLF001  # the same
        return plan, plan.rows(await read_hashes(client, list(zip(fields, keys, strict=True))))

    def _plan(self, selection: bytes) -> tuple[Plan, list[HashFields]]:
        registry: Any = self._store.registry
        # As Feast forgets what it has resolved: once the registry was read again, or has become too old.
        read_at = getattr(registry, "cached_registry_proto_created", None)
        if read_at is None or read_at != self._registry_read_at or not registry.is_cache_valid():
            self._plans.clear()
            self._registry_read_at = read_at
        # Put back as the latest.
        found = self._plans.pop(selection, None) or self._new(selection)
        if len(self._plans) == _MAX_PLANS:
            del self._plans[next(iter(self._plans))]
        if len(selection) <= _MAX_SELECTION_BYTES:
            self._plans[selection] = found
        return found

    def _new(self, selection: bytes) -> tuple[Plan, list[HashFields]]:
        plan = plan_of(self._store, _references(selection))
        return plan, [HashFields(each.fields) for each in plan.hashes]
