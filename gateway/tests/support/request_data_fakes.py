"""A gateway whose users need request data."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from any_entity import computed
from gateway_fakes import (
    NEVER_WRITTEN,
    FakeFeatureServer,
    Gateway,
    gateway_settings,
    service_entry,
    serving,
    written_contract,
)
from on_demand import on_demand_content, on_demand_view
from streamflow.features.v1.request_data_pb2 import RequestValue

PACE, ALL = "pace_v1", "all_v1"
SHARE = "share:share_out"
OF_ALL = {
    "flag": "Bool",
    "small": "Int32",
    "big": "Int64",
    "part": "Float32",
    "text": "String",
    "path": "List(Float64)",
}


def _content() -> dict[str, Any]:
    """`pace` needs the minutes of a driver, `all` a value of each of several types, `share` may depend on all rows."""
    rating = [{"view": "driver_fv", "name": "rating"}]
    request = [{"name": name, "dtype": dtype} for name, dtype in OF_ALL.items()]
    services = [
        service_entry(
            name,
            [(view, f"{view}_out", "Float64", None)],
            join_keys=[{"name": "driver_id", "entity": "driver"}],
        )
        for name, view in ((ALL, "all"), (PACE, "pace"))
    ]
    views = [
        on_demand_view("all", "all_out", inputs=rating, request=request),
        on_demand_view("pace", "pace_out", inputs=rating),
        on_demand_view("share", "share_out", inputs=rating, row_by_row=False, mode="pandas"),
    ]
    return on_demand_content(on_demand_feature_views=views, feature_services=services)


def cell(name: str, row: dict[str, Any]) -> tuple[Any, str]:
    if name == "pace_out":
        return row["minutes"] + 1000 * row["driver_id"], NEVER_WRITTEN
    return 1.0, NEVER_WRITTEN


@pytest.fixture
async def drivers(feature_server: FakeFeatureServer, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway, with pages, whose users are drivers."""
    path = written_contract(tmp_path, _content())
    feature_server.answer = feature_server.canary_answer = computed(cell)
    settings = replace(gateway_settings(feature_server, path), default_feature_service="", user_entity="driver")
    settings = replace(settings, pages=True)
    async with serving(settings) as gateway:
        yield gateway


def reads_of(feature_server: FakeFeatureServer) -> list[dict[str, Any]]:
    """The columns of each read but the canary's, whose driver is 0."""
    columns = [request["entities"] for request in feature_server.requests]
    return [one for one in columns if one["driver_id"] != [0]]


def minutes_of(value: float) -> dict[str, RequestValue]:
    return {"minutes": RequestValue(double_value=value)}


async def over_http(gateway: Gateway, service: str, *parameters: tuple[str, str]) -> tuple[int, dict[str, Any]]:
    path = f"{gateway.http_url}/features/7"
    asked = [("feature_service", service), *parameters]
    async with ClientSession() as session, session.get(path, params=asked) as reply:
        return reply.status, await reply.json(content_type=None)
