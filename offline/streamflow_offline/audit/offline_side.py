"""What training reads: the values of Feast's point-in-time join, and the event timestamps of their rows."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from streamflow_offline.audit.compare import Feature, OfflineCell
from streamflow_offline.audit.request_data import NO_REQUEST_DATA, MadeUpRequestData
from streamflow_offline.errors import JobError
from streamflow_offline.quoting import quoted
from streamflow_offline.view_sql import event_timestamp_utc, source_table

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore, FeatureView, OnDemandFeatureView


# PostgreSQL's type of each dtype that request data may have.
_POSTGRES = {
    "Bool": "bool",
    "Int32": "int4",
    "Int64": "int8",
    "Float32": "float4",
    "Float64": "float8",
    "String": "text",
}


def on_demand_views(store: "FeatureStore", features: Sequence[Feature]) -> "dict[str, OnDemandFeatureView]":
    """Return the on-demand views of features, by name."""
    used = {feature.view for feature in features}
    return {str(view.name): view for view in store.list_on_demand_feature_views() if view.name in used}


def request_dtypes(view: "OnDemandFeatureView") -> dict[str, str]:
    """Return the types of the request data that an on-demand view needs."""
    return {field.name: str(field.dtype) for source in view.source_request_sources.values() for field in source.schema}


def stored_views(store: "FeatureStore", features: Sequence[Feature]) -> "dict[str, tuple[FeatureView, ...]]":
    """Return the views whose rows each view's features come from: the view itself, or an on-demand view's sources."""
    computed = on_demand_views(store, features)
    sources = {
        name: sorted({str(projection.name) for projection in view.source_feature_view_projections.values()})
        for name, view in computed.items()
    }
    return {
        feature.view: tuple(store.get_feature_view(name) for name in sources.get(feature.view, [feature.view]))
        for feature in features
    }


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
        request_data: MadeUpRequestData = NO_REQUEST_DATA,
    ) -> None:
        """Creates a reader of some features of a service, in a store with Feast's own PostgreSQL offline store."""
        self._store = store
        self._connection = connection
        self._service = service
        self._join_key = join_key
        self._features = features
        self._views = stored_views(store, features)
        self._request_data = request_data
        # Otherwise Feast creates a table for the users, and a killed job would leave the table behind.
        store.config.offline_config = {**store.config.offline_config, "entity_select_mode": "embed_query"}

    def read(self, user_ids: Sequence[str], *, at: datetime) -> dict[str, tuple[OfflineCell, ...]]:
        """Return each user's cells as of a moment, in the order of the features.

        `get_historical_features` gives the values, but not the event timestamps of their rows. SQL reads these event
        timestamps: the newest of each view up to the moment. Raises JobError and psycopg.Error.
        """
        rows = self._historical(user_ids, at=at)
        read = {view.name: view for views in self._views.values() for view in views}
        newest = {name: self._newest(view, user_ids, at=at) for name, view in read.items()}
        return {
            user_id: tuple(
                self._cell(
                    feature,
                    rows[user_id],
                    [(view, newest[view.name].get(user_id)) for view in self._views[feature.view]],
                    at=at,
                )
                for feature in self._features
            )
            for user_id in user_ids
        }

    def _cell(
        self,
        feature: Feature,
        row: Mapping[str, Any],
        newest: "Sequence[tuple[FeatureView, datetime | None]]",
        *,
        at: datetime,
    ) -> OfflineCell:
        """Return the cell; an on-demand feature is as old as its oldest source row, and too old if any of them is."""
        found = [(view, stamp) for view, stamp in newest if stamp is not None]
        too_old = any(view.ttl and stamp < at - view.ttl for view, stamp in found)
        return OfflineCell(
            # An on-demand function may make a value of no row; the gateway serves none that is too old.
            value=None if too_old else row[f"{feature.view}__{feature.name}"],
            event_timestamp=min((stamp for _, stamp in found), default=None),
            too_old=too_old,
        )

    def _historical(self, user_ids: Sequence[str], *, at: datetime) -> dict[str, Mapping[str, Any]]:
        sent = [self._request_data.of(user_id) for user_id in user_ids]
        columns: dict[str, sql.Composable] = {
            self._join_key: sql.SQL("{}::text[]").format(sql.Literal(list(user_ids))),
            **{
                name: sql.SQL("{}::{}").format(
                    sql.Literal([values[name] for values in sent]), sql.SQL(f"{_POSTGRES[dtype]}[]")
                )
                for name, dtype in self._request_data.dtypes.items()
            },
        }
        asked = sql.SQL("SELECT a.*, {at}::timestamptz AS event_timestamp FROM unnest({values}) AS a ({names})").format(
            at=sql.Literal(at.isoformat()),
            values=sql.SQL(", ").join(columns.values()),
            names=sql.SQL(", ").join(map(sql.Identifier, columns)),
        )
        try:
            with warnings.catch_warnings():
                # Feast gives pandas a psycopg connection, and pandas warns that it prefers SQLAlchemy.
                warnings.simplefilter("ignore")
                job = self._store.get_historical_features(
                    entity_df=asked.as_string(), features=self._service, full_feature_names=True
                )
                found = job.to_arrow().to_pylist()
        except Exception as error:
            raise JobError(
                f"Feast could not read {self._service.name}: {type(error).__name__}: {quoted(str(error))}"
            ) from error
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
