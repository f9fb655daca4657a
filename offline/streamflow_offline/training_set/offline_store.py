"""Feast's PostgreSQL offline store with a point-in-time join of one index probe a row and view.

Feast's own SQL joins every entity row with its user's whole history and then looks for the newest in it: on the twelfth
month, 100,000 rows take 22 s where a probe of the sources' keys takes 1.5 s. Rows of a source that tie on key, event
timestamp and created timestamp come out of Feast's join as several rows; a probe finds one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pandas as pd
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
    PostgreSQLOfflineStore,
    PostgreSQLOfflineStoreConfig,
    PostgreSQLRetrievalJob,
)
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import FeatureViewQueryContext, get_feature_view_query_context
from feast.infra.registry.base_registry import BaseRegistry
from psycopg import sql

from streamflow_offline.training_set.names import EVENT_TIMESTAMP
from streamflow_offline.training_set.verbatim import verbatim

_SECOND = timedelta(seconds=1)

OFFLINE_STORE_TYPE = "streamflow_offline.training_set.offline_store.LateralPostgreSQLOfflineStore"
"""The `type` of the store in Feast's settings."""


class LateralPostgreSQLOfflineStoreConfig(PostgreSQLOfflineStoreConfig):
    """The settings of Feast's PostgreSQL offline store, by the name that Feast derives from the class below."""

    # Feast's own field takes "postgres" only.
    type: Literal["streamflow_offline.training_set.offline_store.LateralPostgreSQLOfflineStore"] = OFFLINE_STORE_TYPE  # type: ignore[assignment]

    views_without_ties: frozenset[str] = frozenset()
    """Feature views whose source has at most one row of a key and event timestamp, so that no tie needs breaking."""


class LateralPostgreSQLOfflineStore(PostgreSQLOfflineStore):
    """Joins what an SQL entity query asks for by probes; all else is as in PostgreSQLOfflineStore.

    The entity query needs a column `event_timestamp` of type TIMESTAMPTZ. The SQL runs where the time zone is UTC, in
    which a source's DATE or TIMESTAMP is read. Of the source's rows that are no later than the entity row's time and,
    if the view has a ttl, no older than that, it takes the one of the newest event timestamp; of those, the one of the
    newest created timestamp; of those, the last in the order of the row's text.
    """

    supports_filter_by_created_timestamp = False

    @staticmethod
    def get_historical_features(  # noqa: PLR0917  # Feast's signature
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002  # the same
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002  # the same
        **kwargs: Any,
    ) -> RetrievalJob:
        """Return a job whose SQL gives every row of the entity query once, each with its features."""
        if not isinstance(entity_df, str):
            return PostgreSQLOfflineStore.get_historical_features(
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
        # Feast wants the range of the entity rows' times only for stores whose tables are partitioned by time.
        now = datetime.now(UTC)
        contexts = get_feature_view_query_context(feature_refs, feature_views, registry, project, (now, now))
        # The context has whole seconds, and 0 for none.
        ttls = {str(view.projection.name_to_use()): view.ttl for view in feature_views}  # type: ignore[no-untyped-call]
        query = _point_in_time_query(
            entity_df,
            contexts,
            ttls=ttls,
            without_ties=config.offline_store.views_without_ties,
            full_feature_names=full_feature_names,
        )
        return PostgreSQLRetrievalJob(
            query=query.as_string(),
            config=config,
            full_feature_names=full_feature_names,
            metadata=RetrievalMetadata(features=feature_refs, keys=sorted({k for c in contexts for k in c.entities})),
        )


def _point_in_time_query(
    entity_query: str,
    contexts: Sequence[FeatureViewQueryContext],
    *,
    ttls: dict[str, timedelta | None],
    without_ties: frozenset[str],
    full_feature_names: bool,
) -> sql.Composed:
    columns: list[sql.Composable] = [sql.SQL("e.*")]
    joins: list[sql.Composable] = []
    for number, context in enumerate(contexts):
        alias = sql.Identifier(f"view_{number}")
        prefix = f"{context.name}__" if full_feature_names else ""
        columns += [
            sql.SQL("{}.{} AS {}").format(
                alias,
                sql.Identifier(column),
                sql.Identifier(prefix + context.field_mapping.get(column, column)),
            )
            for column in context.features
        ]
        probe = _probe(context, ttl=ttls[context.name], ties=context.name not in without_ties)
        joins.append(sql.SQL("LEFT JOIN LATERAL ({}) AS {} ON TRUE").format(probe, alias))
    return sql.SQL("SELECT {} FROM ({}) AS e {}").format(
        sql.SQL(", ").join(columns), verbatim(entity_query), sql.SQL(" ").join(joins)
    )


def _probe(context: FeatureViewQueryContext, *, ttl: timedelta | None, ties: bool) -> sql.Composed:
    event = sql.SQL("s.{}").format(sql.Identifier(context.timestamp_field))
    row_time = sql.SQL("e.{}").format(sql.Identifier(EVENT_TIMESTAMP))
    conditions = [
        *(
            sql.SQL("s.{} = e.{}").format(sql.Identifier(selection.removesuffix(f" AS {key}")), sql.Identifier(key))
            for key, selection in zip(context.entities, context.entity_selections, strict=True)
        ),
        sql.SQL("{} <= {}").format(event, row_time),
    ]
    if ttl:
        conditions.append(sql.SQL("{} >= {} - {}::interval").format(event, row_time, sql.Literal(f"{ttl / _SECOND} s")))
    order: list[sql.Composable] = [sql.SQL("{} DESC").format(event)]
    if ties:
        if context.created_timestamp_column:
            order.append(sql.SQL("s.{} DESC NULLS LAST").format(sql.Identifier(context.created_timestamp_column)))
        order.append(sql.SQL('s::text COLLATE "C" DESC'))
    return sql.SQL("SELECT {} FROM {} AS s WHERE {} ORDER BY {} LIMIT 1").format(
        sql.SQL(", ").join(sql.SQL("s.{}").format(sql.Identifier(column)) for column in context.features),
        verbatim(context.table_subquery),
        sql.SQL(" AND ").join(conditions),
        sql.SQL(", ").join(order),
    )
