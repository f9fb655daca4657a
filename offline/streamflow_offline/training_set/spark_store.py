"""Feast's Spark offline store, with a point-in-time join that returns each entity row once.

Feast's own SQL differs in four points: it repeats the entity row when rows of a source have the same key, event
timestamp and created timestamp; it drops rows without a created timestamp if the source has that column; it rounds a
ttl to whole seconds; it reads the times of an entity query in the process's time zone. It also joins each source with
itself to find the newest rows.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pandas as pd
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
    SparkOfflineStore,
    SparkOfflineStoreConfig,
    SparkRetrievalJob,
    get_spark_session_or_start_new_with_repoconfig,
)
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import FeatureViewQueryContext
from feast.infra.registry.base_registry import BaseRegistry
from pyspark.sql import DataFrame

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.columns import EVENT_TIMESTAMP
from streamflow_offline.training_set.postgres_store import query_contexts

OFFLINE_STORE_TYPE = "streamflow_offline.training_set.spark_store.NewestRowSparkOfflineStore"
"""The `type` of the store in Feast's settings."""

_MICROSECOND = timedelta(microseconds=1)


class NewestRowSparkOfflineStoreConfig(SparkOfflineStoreConfig):
    """The settings of Feast's Spark offline store. Feast derives this name from the name of the store's class."""


class NewestRowSparkOfflineStore(SparkOfflineStore):
    """Joins the rows of an SQL entity query to each view's newest row. The training set job is the only user.

    The entity query needs a column `event_timestamp` of type TIMESTAMP. Candidates are the source's rows that are not
    later than the entity row's time and, if the view has a ttl, not older than that. The row with the newest event
    timestamp wins, then the newest created timestamp, then the row with the greatest features.
    """

    @staticmethod
    def get_historical_features(  # type: ignore[override]  # Feast passes keywords
        *,
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | DataFrame | None,
        registry: BaseRegistry,
        project: str,
        **_: Any,
    ) -> RetrievalJob:
        """Return a job whose SQL returns every row of the entity query once, with its features."""
        session = get_spark_session_or_start_new_with_repoconfig(config.offline_store)
        contexts = query_contexts(feature_refs, feature_views, registry, project)
        views = {str(view.projection.name_to_use()): view for view in feature_views}  # type: ignore[no-untyped-call]
        return _SqlJob(
            spark_session=session,
            query=_point_in_time_query(str(entity_df), contexts, views=views),
            full_feature_names=False,
            config=config,
            metadata=RetrievalMetadata(features=feature_refs, keys=sorted({k for c in contexts for k in c.entities})),
        )


def source_path(view: FeatureView) -> str:
    """Return the folder or URI of a view's Parquet. Raises JobError for a source of another kind."""
    source = view.batch_source
    if not isinstance(source, SparkSource) or not source.path or source.file_format != "parquet" or "`" in source.path:
        raise JobError(
            f"{view.name} is not applied with Parquet as its source, and FEAST_OFFLINE_STORE is spark; run `offline "
            "apply` with it, or set it to postgres"
        )
    return str(source.path)


class _SqlJob(SparkRetrievalJob):
    """A job that returns its SQL, as Feast's PostgreSQL job does."""

    def to_sql(self) -> str:
        return str(self.query)


def _point_in_time_query(
    entity_query: str,
    contexts: Sequence[FeatureViewQueryContext],
    *,
    views: dict[str, FeatureView],
) -> str:
    columns, joins = ["e.*"], list[str]()
    for number, context in enumerate(contexts):
        columns += [
            f"view_{number}.newest.{column} AS {context.field_mapping.get(column, column)}"
            for column in context.features
        ]
        same = " AND ".join(f"e.{name} = view_{number}.{name}" for name in (*context.entities, EVENT_TIMESTAMP))
        newest = _newest(context, entity_query, view=views[context.name])
        joins.append(f"LEFT JOIN ({newest}) AS view_{number} ON {same}")
    return f"SELECT {', '.join(columns)} FROM ({entity_query}) AS e {' '.join(joins)}"  # noqa: S608  # names of ours


def _newest(context: FeatureViewQueryContext, entity_query: str, *, view: FeatureView) -> str:
    asked = ", ".join(f"a.{name}" for name in (*context.entities, EVENT_TIMESTAMP))
    # The session's time zone is UTC, so a DATE becomes its midnight in UTC.
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
    # When structs are compared, null is less than any value.
    created = f"s.{context.created_timestamp_column}, " if context.created_timestamp_column else ""
    return (
        f"SELECT {asked}, max_by(struct({features}), struct({event}, {created}{features})) AS newest"  # noqa: S608
        f" FROM (SELECT DISTINCT {asked} FROM ({entity_query}) AS a) AS a"
        f" JOIN parquet.`{source_path(view)}` AS s ON {' AND '.join(conditions)} GROUP BY {asked}"
    )
