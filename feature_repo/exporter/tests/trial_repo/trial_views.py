"""Feature views that the gateway can serve, and some of every kind that it can't."""

from datetime import timedelta
from pathlib import Path

from feast import FeatureView, Field, FileSource, LabelView, PushSource
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    Set,
    String,
    Struct,
    UnixTimestamp,
)
from trial_entities import city, driver, flag, puzzle, rider, shop, zone

_ROWS = str(Path(__file__).parent / "data" / "rows.parquet")
_SCALARS = (Bool, Int32, Int64, Float32, Float64, String, Bytes, UnixTimestamp)


def _source(name: str) -> FileSource:
    return FileSource(name=name, path=_ROWS, timestamp_field="event_timestamp")


scalars_fv = FeatureView(
    name="scalars_fv",
    entities=[driver],
    ttl=timedelta(days=1, seconds=1),
    schema=[Field(name=f"a_{dtype}".lower(), dtype=dtype) for dtype in _SCALARS],
    source=_source("scalars"),
)
lists_fv = FeatureView(
    name="lists_fv",
    entities=[driver],
    ttl=timedelta(0),
    schema=[Field(name=f"some_{dtype}".lower(), dtype=Array(dtype)) for dtype in _SCALARS],
    source=_source("lists"),
)
composite_fv = FeatureView(
    name="composite_fv",
    entities=[shop, driver, city],
    schema=[Field(name="sales", dtype=Int64), Field(name="city_code", dtype=Int32)],
    source=PushSource(name="sales_push", batch_source=_source("sales")),
)
inferred_fv = FeatureView(
    name="inferred_fv",
    entities=[rider],
    schema=[Field(name="trips", dtype=Int64, description="Trips in all.", tags={"unit": "trips"})],
    source=_source("trips"),
    description="What riders did.",
    owner="team-riders",
    tags={"stage": "trial", "area": "riding"},
)
zone_fv = FeatureView(
    name="zone_fv",
    entities=[zone],
    schema=[Field(name="zone_id", dtype=Int32), Field(name="heat", dtype=Int64)],
    source=_source("heat"),
)
zone_of_64_bits_fv = FeatureView(
    name="zone_of_64_bits_fv",
    entities=[zone],
    schema=[Field(name="zone_id", dtype=Int64), Field(name="cold", dtype=Int64)],
    source=_source("cold"),
)
flag_fv = FeatureView(name="flag_fv", entities=[flag], schema=[Field(name="x", dtype=Int64)], source=_source("flags"))
puzzle_fv = FeatureView(
    name="puzzle_fv", entities=[puzzle], schema=[Field(name="x", dtype=Int64)], source=_source("puzzles")
)
offline_fv = FeatureView(
    name="offline_fv", entities=[driver], online=False, schema=[Field(name="x", dtype=Int64)], source=_source("offline")
)
disabled_fv = FeatureView(
    name="disabled_fv", entities=[driver], enabled=False, schema=[Field(name="x", dtype=Int64)], source=_source("off")
)
entityless_fv = FeatureView(name="entityless_fv", schema=[Field(name="x", dtype=Int64)], source=_source("global"))
partly_fv = FeatureView(
    name="partly_fv",
    entities=[driver],
    schema=[
        Field(name="served", dtype=Int64),
        Field(name="a_map", dtype=Map),
        Field(name="a_set", dtype=Set(Int64)),
        Field(name="nested", dtype=Array(Array(Int64))),
    ],
    source=_source("partly"),
)
unserved_fv = FeatureView(
    name="unserved_fv",
    entities=[driver],
    schema=[Field(name="a_json", dtype=Json), Field(name="a_struct", dtype=Struct({"x": Int64}))],
    source=_source("unserved"),
)
labels_fv = LabelView(
    name="labels_fv",
    entities=[driver],
    schema=[Field(name="good", dtype=Int64), Field(name="labeler", dtype=String)],
    source=PushSource(name="labels_push", batch_source=_source("labels")),
)
