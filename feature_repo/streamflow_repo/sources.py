"""The PostgreSQL snapshot tables, one row per user and month."""

from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource


def _snapshots(table: str, *, description: str) -> PostgreSQLSource:
    return PostgreSQLSource(
        name=table,
        table=table,
        timestamp_field="as_of",
        created_timestamp_column="ingested_at",
        description=description,
    )


subs_profile_source = _snapshots(
    "subscriptions_profile_snapshots", description="Subscription profile at a month's end."
)
usage_agg_30d_source = _snapshots("usage_agg_30d_snapshots", description="Use of the service in the 30 days before.")
payments_agg_90d_source = _snapshots("payments_agg_90d_snapshots", description="Payments in the 90 days before.")
support_agg_90d_source = _snapshots("support_agg_90d_snapshots", description="Support tickets in the 90 days before.")
