"""Definitions that the gateway can't serve, and that a contract leaves out, each with its reason."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Int64, Map, String

depot = Entity(name="depot", join_keys=["depot_id"], value_type=ValueType.INT64)
hour = Entity(name="hour", join_keys=["started_at"], value_type=ValueType.UNIX_TIMESTAMP)


def _source(view: str) -> FileSource:
    return FileSource(name=f"{view}_source", path=f"data/{view}.parquet", timestamp_field="event_timestamp")


# A feature of a type that is not served; the view's other feature is served.
depot_fv = FeatureView(
    name="depot_fv",
    entities=[depot],
    ttl=timedelta(days=1),
    schema=[Field(name="attributes", dtype=Map), Field(name="badge", dtype=String)],
    source=_source("depot_fv"),
)
depots_v1 = FeatureService(name="depots_v1", features=[depot_fv])

# A view that is not online.
bonus_fv = FeatureView(
    name="bonus_fv",
    entities=[depot],
    ttl=timedelta(days=1),
    online=False,
    schema=[Field(name="bonus", dtype=Int64)],
    source=_source("bonus_fv"),
)

# A key of a type that is not served.
hour_fv = FeatureView(
    name="hour_fv",
    entities=[hour],
    ttl=timedelta(days=1),
    schema=[Field(name="weather", dtype=String)],
    source=_source("hour_fv"),
)
