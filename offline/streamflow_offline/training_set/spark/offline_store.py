"""Feast's Spark offline store with a point-in-time join of one row an entity row and view.

Feast's own SQL repeats the entity row where rows of a source tie in key, event timestamp and created timestamp, drops
rows without a created timestamp where a source has that column, counts a ttl in whole seconds, and reads the times of
an entity query in the process's time zone. It also joins each source with itself to find the newest rows.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
    SparkOfflineStore,
    SparkOfflineStoreConfig,
    SparkRetrievalJob,
    get_spark_session_or_start_new_with_repoconfig,
)
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import FeatureViewQueryContext, get_feature_view_query_context
from feast.infra.registry.base_registry import BaseRegistry
from pyspark.sql import DataFrame

from streamflow_offline.training_set.names import EVENT_TIMESTAMP
from streamflow_offline.training_set.spark.sources import source_path

OFFLINE_STORE_TYPE = "streamflow_offline.training_set.spark.offline_store.NewestRowSparkOfflineStore"
"""The `type` of the store in Feast's settings."""

_MICROSECOND = timedelta(microseconds=1)


class NewestRowSparkOfflineStoreConfig(SparkOfflineStoreConfig):
    """The settings of Feast's Spark offline store, by the name that Feast derives from the class below."""


class NewestRowSparkOfflineStore(SparkOfflineStore):
    """Joins what an SQL entity query asks for to each view's newest row; all else is as in SparkOfflineStore.

    The entity query needs a column `event_timestamp` of type TIMESTAMP. Of the source's rows that are no later than the
    entity row's time and, if the view has a ttl, no older than that, it takes the one of the newest event timestamp; of
    those, the one of the newest created timestamp; of those, the one whose features are greatest.
    """

    supports_filter_by_created_timestamp = False

    @staticmethod
    def get_historical_features(  # noqa: PLR0917  # Feast's signature
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | DataFrame | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002  # the same
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002  # the same
        **kwargs: Any,
    ) -> RetrievalJob:
        """Return a job whose SQL gives every row of the entity query once, each with its features."""
        if not isinstance(entity_df, str):
            return SparkOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                entity_df,
                registry,
                project,
                full_feature_names,
                filter_by_created_timestamp,
                **kwargs,
            )
        session = get_spark_session_or_start_new_with_repoconfig(config.offline_store)
        # Feast wants the range of the entity rows' times only for stores whose tables are partitioned by time.
        now = datetime.now(UTC)
        contexts = get_feature_view_query_context(feature_refs, feature_views, registry, project, (now, now))
        views = {str(view.projection.name_to_use()): view for view in feature_views}  # type: ignore[no-untyped-call]
        return _SqlJob(
            spark_session=session,
            query=_point_in_time_query(entity_df, contexts, views=views, full_feature_names=full_feature_names),
            full_feature_names=full_feature_names,
            config=config,
            metadata=RetrievalMetadata(features=feature_refs, keys=sorted({k for c in contexts for k in c.entities})),
        )


class _SqlJob(SparkRetrievalJob):
    """A job that tells its SQL, as Feast's PostgreSQL job does."""

    def to_sql(self) -> str:
        return str(self.query)


def _point_in_time_query(
    entity_query: str,
    contexts: Sequence[FeatureViewQueryContext],
    *,
    views: dict[str, FeatureView],
    full_feature_names: bool,
) -> str:
    columns, joins = ["e.*"], list[str]()
    for number, context in enumerate(contexts):
        prefix = f"{context.name}__" if full_feature_names else ""
        columns += [
            f"view_{number}.newest.{column} AS {prefix}{context.field_mapping.get(column, column)}"
            for column in context.features
        ]
        same = " AND ".join(f"e.{name} = view_{number}.{name}" for name in (*context.entities, EVENT_TIMESTAMP))
        newest = _newest(context, entity_query, view=views[context.name])
        joins.append(f"LEFT JOIN ({newest}) AS view_{number} ON {same}")
    return f"SELECT {', '.join(columns)} FROM ({entity_query}) AS e {' '.join(joins)}"  # noqa: S608  # names of ours


def _newest(context: FeatureViewQueryContext, entity_query: str, *, view: FeatureView) -> str:
    asked = ", ".join(f"a.{name}" for name in (*context.entities, EVENT_TIMESTAMP))
    # The session is in UTC, which a DATE is then in.
    event = f"CAST(s.{context.timestamp_field} AS TIMESTAMP)"
    conditions = [
        *(
            f"s.{selection.removesuffix(f' AS {key}')} = a.{key}"
            for key, selection in zip(context.entities, context.entity_selections, strict=True)
        ),
        f"{event} <= a.{EVENT_TIMESTAMP}",
    ]
    if view.ttl:
        seconds, micros = divmod(view.ttl // _MICROSECOND, 1_000_000)
        conditions.append(f"{event} >= a.{EVENT_TIMESTAMP} - INTERVAL '{seconds}.{micros:06}' SECOND")
    features = ", ".join(f"s.{column}" for column in context.features)
    # In a comparison of structs, null comes before any value.
    created = f"s.{context.created_timestamp_column}, " if context.created_timestamp_column else ""
    return (
        f"SELECT {asked}, max_by(struct({features}), struct({event}, {created}{features})) AS newest"  # noqa: S608
        f" FROM (SELECT DISTINCT {asked} FROM ({entity_query}) AS a) AS a"
        f" JOIN parquet.`{source_path(view)}` AS s ON {' AND '.join(conditions)} GROUP BY {asked}"
    )
