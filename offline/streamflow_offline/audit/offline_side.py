"""What training reads: the values of Feast's point-in-time join, and the event timestamps of their rows."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from streamflow_offline.audit.compare import Feature, OfflineCell
from streamflow_offline.errors import JobError
from streamflow_offline.view_sql import event_timestamp_utc, source_table

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore, FeatureView


class OfflineSide:
    """Reads users' features as training does."""

    def __init__(
        self,
        store: "FeatureStore",
        connection: psycopg.Connection,
        *,
        service: "FeatureService",
        join_key: str,
        features: Sequence[Feature],
    ) -> None:
        """Creates a reader of some features of a service, in a store with Feast's own PostgreSQL offline store."""
        self._store = store
        self._connection = connection
        self._service = service
        self._join_key = join_key
        self._features = features
        self._views = {name: store.get_feature_view(name) for name in {feature.view for feature in features}}
        # Otherwise Feast creates a table for the users, and a killed job would leave the table behind.
        store.config.offline_config = {**store.config.offline_config, "entity_select_mode": "embed_query"}

    def read(self, user_ids: Sequence[str], *, at: datetime) -> dict[str, tuple[OfflineCell, ...]]:
        """Return each user's cells as of a moment, in the order of the features.

        `get_historical_features` gives the values, but not the event timestamps of their rows. SQL reads these event
        timestamps: the newest of each view up to the moment. Raises JobError and psycopg.Error.
        """
        rows = self._historical(user_ids, at=at)
        newest = {name: self._newest(view, user_ids, at=at) for name, view in self._views.items()}
        return {
            user_id: tuple(
                self._cell(feature, rows[user_id], newest[feature.view].get(user_id), at=at)
                for feature in self._features
            )
            for user_id in user_ids
        }

    def _cell(
        self, feature: Feature, row: Mapping[str, Any], event_timestamp: datetime | None, *, at: datetime
    ) -> OfflineCell:
        ttl: timedelta | None = self._views[feature.view].ttl
        return OfflineCell(
            value=row[f"{feature.view}__{feature.name}"],
            event_timestamp=event_timestamp,
            too_old=bool(ttl and event_timestamp and event_timestamp < at - ttl),
        )

    def _historical(self, user_ids: Sequence[str], *, at: datetime) -> dict[str, Mapping[str, Any]]:
        asked = sql.SQL(
            "SELECT a.id AS {key}, {at}::timestamptz AS event_timestamp FROM unnest({ids}::text[]) AS a (id)"
        ).format(key=sql.Identifier(self._join_key), at=sql.Literal(at.isoformat()), ids=sql.Literal(list(user_ids)))
        try:
            with warnings.catch_warnings():
                # Feast gives pandas a psycopg connection, and pandas warns that it prefers SQLAlchemy.
                warnings.simplefilter("ignore")
                job = self._store.get_historical_features(
                    entity_df=asked.as_string(), features=self._service, full_feature_names=True
                )
                found = job.to_arrow().to_pylist()
        except Exception as error:
            raise JobError(f"Feast could not read {self._service.name}: {type(error).__name__}: {error}") from error
        rows = {row[self._join_key]: row for row in found}
        if len(found) != len(user_ids) or rows.keys() != set(user_ids):
            raise JobError(
                f"Feast gives {len(found):,} rows for {len(user_ids):,} users: a view's table has rows of one user "
                "with the same event timestamp and created timestamp; leave one of them"
            )
        return rows

    def _newest(self, view: "FeatureView", user_ids: Sequence[str], *, at: datetime) -> dict[str, datetime]:
        query = sql.SQL(
            "SELECT {key}, max({event}) FROM {table} WHERE {key} = ANY(%(ids)s) AND {event} <= %(at)s GROUP BY {key}"
        ).format(key=sql.Identifier(view.join_keys[0]), event=event_timestamp_utc(view), table=source_table(view))
        return dict(self._connection.execute(query, {"ids": list(user_ids), "at": at}))
