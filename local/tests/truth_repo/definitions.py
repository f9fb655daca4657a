"""Every type that is served, and a view with a maximum age."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)

# Never read: rows are written straight to the online store.
source = FileSource(name="unread", path="unread.parquet", timestamp_field="event_timestamp")

types_fv = FeatureView(
    name="types_fv",
    entities=[user],
    ttl=timedelta(0),
    schema=[
        Field(name="a_bool", dtype=Bool),
        Field(name="an_int32", dtype=Int32),
        Field(name="an_int64", dtype=Int64),
        Field(name="a_float32", dtype=Float32),
        Field(name="a_float64", dtype=Float64),
        Field(name="a_string", dtype=String),
        Field(name="some_bytes", dtype=Bytes),
        Field(name="a_timestamp", dtype=UnixTimestamp),
    ],
    source=source,
)

lists_fv = FeatureView(
    name="lists_fv",
    entities=[user],
    ttl=timedelta(0),
    schema=[
        Field(name="bools", dtype=Array(Bool)),
        Field(name="int32s", dtype=Array(Int32)),
        Field(name="int64s", dtype=Array(Int64)),
        Field(name="float32s", dtype=Array(Float32)),
        Field(name="float64s", dtype=Array(Float64)),
        Field(name="strings", dtype=Array(String)),
        Field(name="byte_strings", dtype=Array(Bytes)),
        Field(name="timestamps", dtype=Array(UnixTimestamp)),
    ],
    source=source,
)

aging_fv = FeatureView(
    name="aging_fv",
    entities=[user],
    ttl=timedelta(days=1),
    schema=[Field(name="score", dtype=Float64), Field(name="note", dtype=String)],
    source=source,
)

truth_v1 = FeatureService(name="truth_v1", features=[aging_fv, types_fv, lists_fv])
