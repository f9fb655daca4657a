"""An on-demand view that returns its request data, of each type that request data can have."""

from typing import Any

from feast import FeatureService, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float32, Float64, Int32, Int64, String

sent = RequestSource(
    name="sent",
    schema=[
        Field(name="sent_bool", dtype=Bool),
        Field(name="sent_int32", dtype=Int32),
        Field(name="sent_int64", dtype=Int64),
        Field(name="sent_float32", dtype=Float32),
        Field(name="sent_float64", dtype=Float64),
        Field(name="sent_string", dtype=String),
    ],
)


@on_demand_feature_view(
    sources=[sent],
    # Feast infers what Python's int and float are, and refuses Int32 and Float32.
    schema=[
        Field(name="got_bool", dtype=Bool),
        Field(name="got_int32", dtype=Int64),
        Field(name="got_int64", dtype=Int64),
        Field(name="got_float32", dtype=Float64),
        Field(name="got_float64", dtype=Float64),
        Field(name="got_string", dtype=String),
    ],
    mode="python",
    tags={"row_by_row": "true"},
)
def echo(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return request data as the function got them."""
    return {name.replace("sent_", "got_"): values for name, values in inputs.items() if name.startswith("sent_")}


echo_v1 = FeatureService(name="echo_v1", features=[echo])
