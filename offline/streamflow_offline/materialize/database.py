"""Which database filled a Redis, as Redis itself says.

Users are in Redis by project and user id alone, so two databases of the same project would overwrite each other's users
and remove them as departed.
"""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import psycopg
import redis

from streamflow_offline.errors import JobError
from streamflow_offline.materialize.marks import first_applied, redis_key

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True, kw_only=True)
class Database:
    """A PostgreSQL database that fills a Redis."""

    first_applied: str
    """When definitions were first applied, to the microsecond. A copy of a database is the same database."""

    name: str
    """Its name and server, for people; without user and password."""

    @classmethod
    def of(cls, store: "FeatureStore", connection: psycopg.Connection) -> "Database":
        """Return the database of a store, which `connection` is connected to."""
        info = connection.info
        where = info.host if info.host.startswith("/") else f"{info.host}:{info.port}"
        return cls(first_applied=first_applied(store), name=f"{info.dbname} at {where}")


def refuse_another(client: redis.Redis, database: Database, *, project: str) -> None:
    """Raise JobError if another database filled the Redis, and redis.RedisError.

    A Redis that no database has marked, such as one that an earlier version filled, is not refused.
    """
    filled_by = _read(client, project=project)
    if filled_by is None or filled_by.first_applied == database.first_applied:
        return
    raise JobError(
        f"the Redis of REDIS_URL has the users of another database, {filled_by.name} (first apply "
        f"{filled_by.first_applied}); POSTGRES_URL names {database.name} (first apply {database.first_applied}). "
        "Nothing was written or deleted. Use a Redis for each database, such as another number at the end of "
        "REDIS_URL; if this database is to fill this Redis from now on, run `offline materialize --take-over`"
    )


def mark_database(client: redis.Redis, database: Database, *, project: str) -> None:
    """Have the Redis say that a database fills it. Raises redis.RedisError."""
    client.set(redis_key(project, "database"), json.dumps(asdict(database)))


def _read(client: redis.Redis, *, project: str) -> Database | None:
    stored = client.get(redis_key(project, "database"))
    try:
        return Database(**json.loads(stored)) if isinstance(stored, str | bytes) else None
    except (ValueError, TypeError):
        return None
