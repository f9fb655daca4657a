"""The snapshots, one row per user and month: PostgreSQL's tables, or Parquet of them that Spark reads."""

from typing import Any

from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

from streamflow_repo.definitions.offline_store import OfflineStore, offline_store, spark_data


def _snapshots(table: str, *, description: str) -> DataSource:
    kind: type[DataSource] = PostgreSQLSource
    where: dict[str, Any] = {"name": table, "table": table}
    if offline_store() is OfflineStore.SPARK:
        kind = SparkSource
        # Feast's registry can't have a source of one kind replaced by one of another kind and the same name.
        where = {"name": f"{table}_parquet", "path": f"{spark_data()}/{table}", "file_format": "parquet"}
    return kind(
        timestamp_field="as_of",
        created_timestamp_column="ingested_at",
        description=description,
        **where,
    )


subs_profile_source = _snapshots(
    "subscriptions_profile_snapshots", description="Subscription profile at a month's end."
)
usage_agg_30d_source = _snapshots("usage_agg_30d_snapshots", description="Use of the service in the 30 days before.")
payments_agg_90d_source = _snapshots("payments_agg_90d_snapshots", description="Payments in the 90 days before.")
support_agg_90d_source = _snapshots("support_agg_90d_snapshots", description="Support tickets in the 90 days before.")
