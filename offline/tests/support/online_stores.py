"""A database and an online store of a test's own, materialized and read back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
import redis
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import sql
from streamflow_offline.feast_store import open_store
from streamflow_offline.materialize.job import materialize
from streamflow_offline.materialize.report import ViewReport
from streamflow_offline.user_keys import UserKeys

PAYMENTS, SUBSCRIPTIONS = "payments_agg_90d_fv", "subs_profile_fv"
SUPPORT, USAGE = "support_agg_90d_fv", "usage_agg_30d_fv"
VIEWS = (PAYMENTS, SUBSCRIPTIONS, SUPPORT, USAGE)

_DELETE = "DELETE FROM payments_agg_90d_snapshots WHERE user_id = %(user_id)s AND as_of = %(day)s"
_UPSERT = (
    "INSERT INTO payments_agg_90d_snapshots (user_id, as_of, ingested_at, failed_payments_90d)"
    " VALUES (%(user_id)s, %(day)s, now(), %(failed)s) ON CONFLICT (user_id, as_of)"
    " DO UPDATE SET (ingested_at, failed_payments_90d) = (now(), %(failed)s)"
)


_OTHER_TABLES = ("subscriptions_profile_snapshots", "support_agg_90d_snapshots", "usage_agg_30d_snapshots")


@dataclass(frozen=True)
class OnlineStores:
    """PostgreSQL with the definitions applied, and an empty Redis."""

    postgres_url: str
    redis_url: str

    lines: list[str] = field(default_factory=list)
    """The lines of progress of the last run."""

    def materialize(self, *, on_progress: Callable[[str], None] | None = None, **options: Any) -> dict[str, ViewReport]:
        """Run the job and return its reports by view."""
        self.lines.clear()

        def tell(line: str) -> None:
            self.lines.append(line)
            if on_progress is not None:
                on_progress(line)

        reports = materialize(postgres_url=self.postgres_url, redis_url=self.redis_url, on_progress=tell, **options)
        return {report.view: report for report in reports}

    def written(self, **options: Any) -> dict[str, int]:
        """Run the job and return how many rows it wrote, by view."""
        return {view: report.written for view, report in self.materialize(**options).items()}

    def put(self, day: datetime, failed_payments: dict[str, int | None]) -> None:
        """Write users' payments of a day as a load of the month does; None is no row."""
        with psycopg.connect(self.postgres_url) as connection:
            for user_id, failed in failed_payments.items():
                if failed is None:
                    connection.execute(_DELETE, {"user_id": user_id, "day": day.date()})
                else:
                    connection.execute(_UPSERT, {"user_id": user_id, "day": day.date(), "failed": failed})

    def put_rows_of_other_views(self, day: datetime, user_ids: Sequence[str]) -> None:
        """Write rows of nulls, so that no view but that of payments is empty."""
        with psycopg.connect(self.postgres_url) as connection:
            for table in _OTHER_TABLES:
                connection.cursor().executemany(
                    sql.SQL("INSERT INTO {} (user_id, as_of, ingested_at) VALUES (%s, %s, now())").format(
                        sql.Identifier(table)
                    ),
                    [(user_id, day.date()) for user_id in user_ids],
                )

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url, socket_timeout=20)

    def hashes(self) -> dict[bytes, dict[bytes, bytes]]:
        """Return what Redis has of users: every field of every key that ends in the project."""
        with self.redis() as client:
            keys: list[Any] = sorted(client.scan_iter(match="*streamflow"))
            return {key: client.hgetall(key) for key in keys}

    def overwrite_online(self, values: Mapping[str, int], view: str, feature: str) -> None:
        """Change an Int64 feature of some users in Redis alone."""
        field = _mmh3(f"{view}:{feature}")
        keys = UserKeys(project="streamflow", join_key="user_id")
        with self.redis() as client:
            for user_id, value in values.items():
                client.hset(keys.key(user_id), mapping={field: Value(int64_val=value).SerializeToString()})

    def served(self, user_ids: Sequence[str], feature: str) -> list[Any]:
        """Return a feature, "view:name", of some users as Feast reads it."""
        with open_store(postgres_url=self.postgres_url, redis_url=self.redis_url) as store:
            answer = store.get_online_features(
                features=[feature], entity_rows=[{"user_id": user_id} for user_id in user_ids]
            ).to_dict()
        return list(answer[feature.partition(":")[2]])

    def intervals(self, view: str) -> list[tuple[datetime, datetime]]:
        """Return what Feast's registry has as materialized."""
        with open_store(postgres_url=self.postgres_url, redis_url=self.redis_url) as store:
            return list(store.get_feature_view(view).materialization_intervals)
