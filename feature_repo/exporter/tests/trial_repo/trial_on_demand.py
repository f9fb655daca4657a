"""On-demand feature views of each mode, and some that the gateway can't serve."""

from inspect import getsource
from typing import Any

import pandas as pd
from feast import Field, RequestSource
from feast.aggregation import Aggregation
from feast.on_demand_feature_view import OnDemandFeatureView, on_demand_feature_view
from feast.types import Array, Float64, Int64, String, UnixTimestamp
from trial_entities import driver
from trial_views import composite_fv, entityless_fv, offline_fv, partly_fv, scalars_fv

_now = RequestSource(name="now", schema=[Field(name="minutes", dtype=Float64), Field(name="device", dtype=String)])
_more = RequestSource(name="more", schema=[Field(name="boost", dtype=Int64, description="How much.")])
_out = [Field(name="out", dtype=Float64)]


@on_demand_feature_view(sources=[scalars_fv, partly_fv, _now], schema=_out)
def pandas_odfv(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["a_float64"] * inputs["minutes"]})


@on_demand_feature_view(
    sources=[scalars_fv[["a_int64", "a_float64"]], _now, _more],
    schema=[Field(name="ratio", dtype=Float64), Field(name="parts", dtype=Array(Float64))],
    mode="python",
    tags={"row_by_row": "true"},
)
def python_odfv(inputs: dict[str, Any]) -> dict[str, Any]:
    ratios = [minutes / (value or 1.0) for minutes, value in zip(inputs["minutes"], inputs["a_float64"], strict=True)]
    return {"ratio": ratios, "parts": [[ratio] for ratio in ratios]}


@on_demand_feature_view(
    sources=[composite_fv], schema=[Field(name="double", dtype=Int64)], mode="python", singleton=True
)
def singleton_odfv(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"double": 2 * (inputs["sales"] or 0)}


@on_demand_feature_view(
    sources=[_more], schema=[Field(name="boosted", dtype=Int64)], mode="python", description="One more."
)
def request_odfv(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"boosted": [boost + 1 for boost in inputs["boost"]]}


def _same(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["a_float64"]})


def _copying(name: str, **settings: Any) -> OnDemandFeatureView:
    function: Any = _same
    return OnDemandFeatureView(name=name, schema=_out, udf=function, udf_string=getsource(_same), **settings)


stored_odfv = _copying("stored_odfv", entities=[driver], sources=[scalars_fv], write_to_online_store=True)
disabled_odfv = _copying("disabled_odfv", sources=[scalars_fv], enabled=False)
renamed_source_odfv = _copying("renamed_source_odfv", sources=[scalars_fv.with_name("renamed")])
mapped_source_odfv = _copying("mapped_source_odfv", sources=[scalars_fv.with_join_key_map({"driver_id": "other_id"})])
aggregating_odfv = OnDemandFeatureView(
    name="aggregating_odfv",
    sources=[scalars_fv],
    schema=[Field(name="sum_a_float64", dtype=Float64)],
    aggregations=[Aggregation(column="a_float64", function="sum")],
)


@on_demand_feature_view(sources=[offline_fv], schema=_out)
def offline_odfv(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["x"] * 1.0})


@on_demand_feature_view(
    sources=[RequestSource(name="when", schema=[Field(name="at", dtype=UnixTimestamp)])], schema=_out, mode="python"
)
def timely_odfv(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"out": [1.0 for _ in inputs["at"]]}


@on_demand_feature_view(
    sources=[RequestSource(name="clash", schema=[Field(name="driver_id", dtype=Int64)])],
    schema=[Field(name="clashing", dtype=Int64)],
    mode="python",
)
def clashing_odfv(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"clashing": inputs["driver_id"]}


@on_demand_feature_view(sources=[entityless_fv], schema=[Field(name="twice", dtype=Int64)], mode="pandas")
def everywhere_odfv(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"twice": inputs["x"] * 2})
