"""A Feast repository of all kinds that the gateway serves, as users write one.

Keys of each type, alone and composite; every scalar and list type; maximum ages; services with aliases and join-key
maps; on-demand views of each mode, with and without request data.
"""

from datetime import timedelta
from typing import Any

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT32)
city = Entity(name="city", join_keys=["city_code"], value_type=ValueType.STRING, tags={"pattern": "^[A-Z]{3}$"})


def _source(view: str) -> FileSource:
    return FileSource(name=f"{view}_source", path=f"data/{view}.parquet", timestamp_field="event_timestamp")


# Views of one String key.

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
    source=_source("types_fv"),
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
        Field(name="bytes_list", dtype=Array(Bytes)),
        Field(name="timestamps", dtype=Array(UnixTimestamp)),
        Field(name="embedding", dtype=Array(Float32)),
    ],
    source=_source("lists_fv"),
)

aging_fv = FeatureView(
    name="aging_fv",
    entities=[user],
    ttl=timedelta(days=1),
    schema=[Field(name="score", dtype=Float64), Field(name="note", dtype=String)],
    source=_source("aging_fv"),
)

# Views of keys of other types, and of several.

driver_fv = FeatureView(
    name="driver_fv",
    entities=[driver],
    ttl=timedelta(days=1),
    schema=[
        Field(name="conv_rate", dtype=Float32),
        Field(name="rating", dtype=Float64),
        Field(name="trips", dtype=Int64),
    ],
    source=_source("driver_fv"),
)

shop_fv = FeatureView(
    name="shop_fv",
    entities=[shop],
    ttl=timedelta(0),
    schema=[Field(name="title", dtype=String), Field(name="revenue", dtype=Float64)],
    source=_source("shop_fv"),
)

city_fv = FeatureView(
    name="city_fv",
    entities=[city],
    ttl=timedelta(days=7),
    schema=[Field(name="population", dtype=Int64), Field(name="hilly", dtype=Bool)],
    source=_source("city_fv"),
)

driver_city_fv = FeatureView(
    name="driver_city_fv",
    entities=[driver, city],
    ttl=timedelta(days=1),
    # `trips` is a feature of driver_fv too.
    schema=[Field(name="trips", dtype=Int32), Field(name="tips", dtype=Float64)],
    source=_source("driver_city_fv"),
)

delivery_fv = FeatureView(
    name="delivery_fv",
    entities=[shop, driver, city],
    ttl=timedelta(0),
    schema=[Field(name="minutes", dtype=Float32), Field(name="late", dtype=Bool)],
    source=_source("delivery_fv"),
)

# A view without a key: one row, beside those of others.

everywhere_fv = FeatureView(
    name="everywhere_fv",
    entities=[],
    ttl=timedelta(0),
    schema=[Field(name="holiday", dtype=String)],
    source=_source("everywhere_fv"),
)

# On-demand views. The tag says that each row's outputs depend on that row alone.

ROW_BY_ROW = {"row_by_row": "true"}

trip = RequestSource(name="trip", schema=[Field(name="km", dtype=Float64), Field(name="bags", dtype=Int64)])


@on_demand_feature_view(
    sources=[driver_fv, trip],
    schema=[Field(name="price", dtype=Float64), Field(name="km_per_bag", dtype=Float64)],
    mode="pandas",
    tags=ROW_BY_ROW,
)
def trip_price(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "price": inputs["km"] * (1 + inputs["conv_rate"].astype("float64")),
            "km_per_bag": inputs["km"] / inputs["bags"],
        }
    )


@on_demand_feature_view(
    sources=[driver_fv], schema=[Field(name="quality", dtype=Float64)], mode="pandas", tags=ROW_BY_ROW
)
def driver_quality(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"quality": inputs["rating"] * inputs["conv_rate"].astype("float64")})


@on_demand_feature_view(sources=[driver_fv], schema=[Field(name="share", dtype=Float64)], mode="pandas")
def trips_share(inputs: pd.DataFrame) -> pd.DataFrame:
    """Aggregate over the whole batch: each row's output depends on the other rows."""
    return pd.DataFrame({"share": inputs["trips"] / inputs["trips"].sum()})


@on_demand_feature_view(sources=[driver_fv], schema=[Field(name="more_than", dtype=Int64)], mode="python")
def trips_rank(inputs: dict[str, Any]) -> dict[str, Any]:
    """Compare each row with the batch; raise for all rows if one is not found."""
    return {"more_than": [sum(other < trips for other in inputs["trips"]) for trips in inputs["trips"]]}


@on_demand_feature_view(
    sources=[city_fv],
    schema=[Field(name="size", dtype=String), Field(name="is_big", dtype=Bool)],
    mode="python",
    tags=ROW_BY_ROW,
)
def city_size(inputs: dict[str, Any]) -> dict[str, Any]:
    known = [0 if people is None else people for people in inputs["population"]]
    return {
        "size": ["big" if people > 1_000_000 else "small" for people in known],
        "is_big": [people > 1_000_000 for people in known],
    }


@on_demand_feature_view(
    sources=[driver_city_fv, trip], schema=[Field(name="per_bag", dtype=Float64)], mode="python", tags=ROW_BY_ROW
)
def tips_per_bag(inputs: dict[str, Any]) -> dict[str, Any]:
    """Raise for a row without bags, and for a row that is not found."""
    return {"per_bag": [tips / bags for tips, bags in zip(inputs["tips"], inputs["bags"], strict=True)]}


@on_demand_feature_view(
    sources=[driver_fv, trip],
    schema=[Field(name="heavy", dtype=Bool), Field(name="per_trip", dtype=Float64)],
    mode="python",
    singleton=True,
    tags=ROW_BY_ROW,
)
def trip_load(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"heavy": inputs["bags"] > 3, "per_trip": inputs["km"] / (inputs["trips"] or 1)}


@on_demand_feature_view(
    sources=[shop_fv], schema=[Field(name="initials", dtype=String)], mode="python", singleton=True, tags=ROW_BY_ROW
)
def shop_initials(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"initials": "".join(word[0] for word in (inputs["title"] or "").split())}


@on_demand_feature_view(sources=[trip], schema=[Field(name="miles", dtype=Float64)], mode="pandas", tags=ROW_BY_ROW)
def trip_miles(inputs: pd.DataFrame) -> pd.DataFrame:
    """Transform request data alone."""
    return pd.DataFrame({"miles": inputs["km"] / 1.609344})


@on_demand_feature_view(
    sources=[driver_fv, city_fv],
    schema=[Field(name="profile", dtype=Array(Float64)), Field(name="labels", dtype=Array(String))],
    mode="python",
    tags=ROW_BY_ROW,
)
def driver_in_city(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return lists, of two source views with different keys."""
    return {
        "profile": [
            [rating or 0.0, float(people or 0)]
            for rating, people in zip(inputs["rating"], inputs["population"], strict=True)
        ],
        "labels": [["hilly"] if hilly else [] for hilly in inputs["hilly"]],
    }


# Services.

users_v1 = FeatureService(name="users_v1", features=[aging_fv, types_fv, everywhere_fv])
lists_v1 = FeatureService(name="lists_v1", features=[lists_fv])
drivers_v1 = FeatureService(name="drivers_v1", features=[driver_fv, driver_quality])
deliveries_v1 = FeatureService(
    name="deliveries_v1", features=[delivery_fv, driver_city_fv[["tips"]], shop_fv, city_fv[["population"]]]
)
trips_v1 = FeatureService(name="trips_v1", features=[driver_fv[["rating"]], trip_price, trip_load, trip_miles])
tips_v1 = FeatureService(name="tips_v1", features=[tips_per_bag])
shares_v1 = FeatureService(name="shares_v1", features=[trips_share])
cities_v1 = FeatureService(name="cities_v1", features=[city_fv, city_size, driver_in_city])
shops_v1 = FeatureService(name="shops_v1", features=[shop_fv, shop_initials])

# Both views have an input `trips`, of different source views: Feast fails.
mixed_up_v1 = FeatureService(name="mixed_up_v1", features=[trip_load, tips_per_bag])

# Services that can only be asked for by name.
quality_v1 = FeatureService(name="quality_v1", features=[driver_fv.with_name("courier")[["rating"]], driver_quality])
renamed_v1 = FeatureService(name="renamed_v1", features=[driver_fv.with_name("courier")[["rating", "trips"]]])
routes_v1 = FeatureService(
    name="routes_v1",
    features=[
        city_fv.with_name("origin").with_join_key_map({"city_code": "origin_code"}),
        city_fv.with_name("destination").with_join_key_map({"city_code": "destination_code"}),
    ],
)
