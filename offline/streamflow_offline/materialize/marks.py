"""For each view, the newest time of ingestion whose rows are in Redis.

An event timestamp can't say this: the correction of an old month has an old event timestamp. The mark is kept in Redis,
beside the values: another Redis, or one that lost its data, has no mark, and a restored Redis has the mark of the time
that it was restored to.
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
    """Rows with a created timestamp up to this one are in Redis, if they are their user's newest."""

    origin: str
    """A hash of where the rows are from: the database, the view's source and its features."""


def read_mark(client: redis.Redis, *, project: str, view: str) -> Mark | None:
    """Return a view's mark; None if Redis has none that can be read. Raises redis.RedisError."""
    stored = client.hget(redis_key(project, "marks"), view)
    try:
        mark = json.loads(stored) if isinstance(stored, str | bytes) else {}
        return Mark(ingested_until=datetime.fromisoformat(mark["ingested_until"]), origin=mark["origin"])
    except (ValueError, KeyError):
        return None


def write_mark(client: redis.Redis, mark: Mark, *, project: str, view: str) -> None:
    """Keep a view's mark. Raises redis.RedisError."""
    text = json.dumps({"ingested_until": mark.ingested_until.isoformat(), "origin": mark.origin})
    client.hset(redis_key(project, "marks"), view, text)


def origin(store: "FeatureStore", rows: NewestRows) -> str:
    """Return the hash of where a view's rows are from."""
    view = rows.view
    content = [
        first_applied(store),
        [source_table(view).as_string(), timestamp_field(view), created_timestamp_field(view)],
        sorted((feature.name, str(feature.dtype)) for feature in view.features),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def first_applied(store: "FeatureStore") -> str:
    """Return when definitions were first applied in a store's database, which no other database shares."""
    # To the microsecond.
    moment: datetime = store.registry.get_project(store.project).created_timestamp
    return moment.isoformat()


def redis_key(project: str, what: str) -> str:
    """Return the Redis key of something that the job remembers of a project."""
    # The project is not at its end: Feast looks for a project's users by the end of their keys.
    return f"materialized:{project}:{what}"
