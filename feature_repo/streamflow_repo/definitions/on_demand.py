"""The on-demand feature views, which the feature server computes at each read, from request data and stored features.

Feast stores the source of a function and runs it where nothing else of this module exists: a function uses what it is
given and builtins, nothing of this module.
"""

from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64

from streamflow_repo.definitions.views import usage_agg_30d_fv

session = RequestSource(
    name="session",
    schema=[Field(name="session_mins", dtype=Float64, description="Minutes watched in this session so far.")],
    description="What the caller knows of the viewer's session.",
)


@on_demand_feature_view(
    sources=[usage_agg_30d_fv[["avg_session_mins_7d"]], session],
    # Feast looks for the field among those that it infers, and finds none that has a description.
    schema=[Field(name="session_over_avg_7d", dtype=Float64)],
    mode="python",
    description="Minutes of this session over the mean session length in 7 days; null without a mean, or if it is 0.",
    # Each row's outputs depend on that row alone, so the gateway may read for several callers at once.
    tags={"row_by_row": "true"},
)
def session_now_fv(inputs: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
    """Return the ratios. The mean of a user whom no row is known of is None."""
    rows = zip(inputs["session_mins"], inputs["avg_session_mins_7d"], strict=True)
    return {"session_over_avg_7d": [mins / mean if mins is not None and mean else None for mins, mean in rows]}
