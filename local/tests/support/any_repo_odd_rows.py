"""Rows of `aging_fv` that Feast's own writes don't make, but that online stores have.

User "partial" has a row without the feature `score`, as after a feature was added to a view. User "timeless" has a row
without an event timestamp, on the stores whose reads bear that.
"""

from typing import TYPE_CHECKING, Any

import pandas as pd
from any_repo_rows import FRESH

if TYPE_CHECKING:
    from feast import FeatureStore

TIMELESS = frozenset({"redis", "postgres"})
"""The online stores that have the user "timeless". A read of Feast's SQLite store fails on such a row."""


def write_odd_rows(store: "FeatureStore") -> None:
    """Write the rows to the online store."""
    _write_partial(store)
    if store.config.online_store.type in TIMELESS:
        frame = pd.DataFrame({"user_id": ["timeless"], "event_timestamp": [FRESH], "score": [7.5], "note": [None]})
        store.write_to_online_store("aging_fv", frame)
        _forget_time(store)


def _write_partial(store: "FeatureStore") -> None:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: PLC0415  # with Feast
    from feast.protos.feast.types.Value_pb2 import Value  # noqa: PLC0415

    key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val="partial")])
    row = (key, {"note": Value(string_val="seen")}, FRESH, None)
    view = store.get_feature_view("aging_fv")
    store._get_provider().online_write_batch(store.config, view, [row], progress=None)


def _forget_time(store: "FeatureStore") -> None:
    online_store: Any = store._get_provider().online_store
    if store.config.online_store.type == "redis":
        client = online_store._get_client(store.config.online_store)
        for key in client.scan_iter(match=f"*timeless*{store.project}"):
            client.hdel(key, "_ts:aging_fv")
    else:
        # Entity keys hold the name as it is.
        key = "strpos(encode(entity_key, 'escape'), 'timeless') > 0"
        with online_store._get_conn(store.config, autocommit=True) as connection:
            connection.execute(f"UPDATE {store.project}_aging_fv SET event_ts = NULL WHERE {key}")
