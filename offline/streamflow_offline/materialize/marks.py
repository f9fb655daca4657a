"""Up to where each view's rows have been brought to Redis, by the time of their ingestion.

An event timestamp can't say it: the correction of an old month has an old one. The mark is kept in Redis, beside the
values that it vouches for: another Redis, or one that lost its data, has no mark, and one that was restored has the
mark of the time that it was restored to.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import redis

from streamflow_offline.materialize.newest import NewestRows
from streamflow_offline.view_sql import created_timestamp_field, source_table, timestamp_field

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What Redis has of a view."""

    ingested_until: datetime
    """Rows of up to this created timestamp are in Redis, where they are a user's newest."""

    origin: str
    """A hash of what they are rows of: the database, the view's source and its features."""


def read_mark(client: redis.Redis, *, project: str, view: str) -> Mark | None:
    """Return a view's mark; None without one that can be read. Raises redis.RedisError."""
    stored = client.hget(_key(project), view)
    try:
        mark = json.loads(stored) if isinstance(stored, str | bytes) else {}
        return Mark(ingested_until=datetime.fromisoformat(mark["ingested_until"]), origin=mark["origin"])
    except (ValueError, KeyError):
        return None


def write_mark(client: redis.Redis, mark: Mark, *, project: str, view: str) -> None:
    """Keep a view's mark. Raises redis.RedisError."""
    text = json.dumps({"ingested_until": mark.ingested_until.isoformat(), "origin": mark.origin})
    client.hset(_key(project), view, text)


def origin(store: "FeatureStore", rows: NewestRows) -> str:
    """Return the hash of what a view's rows are rows of."""
    view = rows.view
    content = [
        # No two databases had their first apply in the same microsecond.
        store.registry.get_project(store.project).created_timestamp.isoformat(),
        [source_table(view).as_string(), timestamp_field(view), created_timestamp_field(view)],
        sorted((feature.name, str(feature.dtype)) for feature in view.features),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _key(project: str) -> str:
    # Not at its end: Feast looks for a project's users by the end of their keys.
    return f"materialized:{project}:marks"
