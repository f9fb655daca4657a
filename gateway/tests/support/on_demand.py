"""A contract with on-demand views, and a feature server whose functions and store a test breaks."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from any_entity import any_entity_content, computed
from gateway_fakes import EVENT_TIMESTAMP, NEVER_WRITTEN


def on_demand_view(name: str, output: str, **changes: Any) -> dict[str, Any]:
    """A view in Python of the trips of a driver in a shop, and of minutes that the caller sends."""
    return {
        "name": name,
        "mode": "python",
        "singleton": False,
        "row_by_row": True,
        "inputs": [{"view": "trip_fv", "name": "last"}, {"view": "trip_fv", "name": "trips"}],
        "request": [{"name": "minutes", "dtype": "Float64"}],
        "features": [{"name": output, "dtype": "Float64"}],
        **changes,
    }


def on_demand_content(**changes: Any) -> dict[str, Any]:
    """`pace` works row by row, `share` may aggregate, `alone` takes one row, `plain` needs request data alone."""
    views = [
        on_demand_view("alone", "alone_out", singleton=True),
        on_demand_view("pace", "pace_out"),
        on_demand_view("plain", "plain_out", inputs=[], mode="pandas"),
        on_demand_view("share", "share_out", row_by_row=False, mode="pandas"),
    ]
    return any_entity_content(**({"on_demand_feature_views": views} | changes))


@dataclass
class Functions:
    """Answers outputs with the minutes of the request; a function raises for the minutes in `raises`."""

    raises: set[float] = field(default_factory=set)
    store_is_down: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        outputs = any(reference.endswith("_out") for reference in body["features"])
        stored = any(reference.startswith("trip_fv:") for reference in body["features"])
        if self.store_is_down and (stored or not outputs or any("pace" in one for one in body["features"])):
            return web.json_response("Error 111 connecting to 127.0.0.1:6380. Connection refused.", status=500)
        if outputs and self.raises & {*body["entities"]["minutes"]}:
            return web.json_response("no minutes of SECRET", status=500)
        return await computed(_cell)(request)

    @property
    def with_outputs(self) -> list[list[float]]:
        """The minutes of each request for outputs."""
        return [one["entities"]["minutes"] for one in self.requests if "minutes" in one["entities"]]


def _cell(name: str, row: dict[str, Any]) -> tuple[Any, str]:
    if name.endswith("_out"):
        return row["minutes"], NEVER_WRITTEN
    return ("a" if name.endswith("last") else 1), EVENT_TIMESTAMP
