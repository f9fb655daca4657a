"""A contract with keys of all types, and a feature server that answers by it, for the tests of Feast's own API."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest, GetOnlineFeaturesResponse
from feast.protos.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from feast.protos.feast.types.Value_pb2 import Value
from gateway_fakes import NEVER_WRITTEN, Gateway, contract_content, service_entry, written_contract

FRESH = "2099-01-01T00:00:00Z"
OLD = "2024-02-29T00:00:00Z"

_VIEWS: list[tuple[str, list[str], float | None, list[tuple[str, str]]]] = [
    ("driver_fv", ["driver"], 86400.0, [("rating", "Float64"), ("trips", "Int64"), ("tags", "List(String)")]),
    ("driver_city_fv", ["driver", "city"], None, [("trips", "Int32"), ("tips", "Float32")]),
    ("shop_fv", ["shop"], None, [("revenue", "Float64"), ("seen_at", "UnixTimestamp")]),
]
_JOIN_KEYS = {"driver": "driver_id", "city": "city_code", "shop": "shop_id", "user": "user_id"}

# By feature view and key: the values, and when they were true.
_ROWS: dict[tuple[str, tuple[Any, ...]], tuple[dict[str, Any], str]] = {
    ("driver_fv", (1,)): ({"rating": 4.5, "trips": 30, "tags": ["fast", ""]}, FRESH),
    ("driver_fv", (2,)): ({"rating": 3.5, "trips": None, "tags": None}, OLD),
    ("driver_city_fv", (1, "LIS")): ({"trips": 20, "tips": 12.5}, OLD),
    ("shop_fv", (-1,)): ({"revenue": 0.0, "seen_at": 1709164800}, FRESH),
}


def _service(name: str, entities: Sequence[str], *features: str) -> dict[str, Any]:
    types = {
        f"{view}:{feature}": (dtype, max_age_s)
        for view, _, max_age_s, described in _VIEWS
        for feature, dtype in described
    } | {"trip_price:price": ("Float64", None)}
    entries = [(*reference.split(":"), *types[reference]) for reference in features]
    join_keys = [{"name": _JOIN_KEYS[entity], "entity": entity} for entity in entities]
    return service_entry(name, entries, join_keys=join_keys)  # type: ignore[arg-type]  # two texts of a split


def feast_api_contract() -> dict[str, Any]:
    content = contract_content()
    views = [
        {
            "name": name,
            "entities": entities,
            "max_age_s": max_age_s,
            "features": [{"name": feature, "dtype": dtype} for feature, dtype in features],
        }
        for name, entities, max_age_s, features in _VIEWS
    ]
    content["feature_views"] = [*views, *content["feature_views"]]
    content["entities"] = [
        {"name": "city", "join_key": "city_code", "dtype": "String", "pattern": "^[A-Z]{3}$"},
        {"name": "driver", "join_key": "driver_id", "dtype": "Int64", "pattern": None},
        {"name": "shop", "join_key": "shop_id", "dtype": "Int32", "pattern": None},
        *content["entities"],
    ]
    content["on_demand_feature_views"] = [
        {
            "name": "trip_price",
            "mode": "pandas",
            "singleton": False,
            "row_by_row": True,
            "inputs": [{"view": "driver_fv", "name": "rating"}],
            "request": [{"name": "km", "dtype": "Float64"}],
            "features": [{"name": "price", "dtype": "Float64"}],
        }
    ]
    content["feature_services"] = [
        *content["feature_services"],
        _service("clash_v1", ["driver", "city"], "driver_fv:trips", "driver_city_fv:trips"),
        _service("drivers_v1", ["driver"], "driver_fv:tags", "driver_fv:rating", "driver_fv:trips"),
        _service("trips_v1", ["driver"], "driver_fv:rating", "trip_price:price"),
    ]
    return content


def write_feast_api_contract(folder: Path) -> Path:
    return written_contract(folder, feast_api_contract())


async def answer_feast(request: web.Request) -> web.Response:
    """Answer as `feast serve` on Redis does: everything PRESENT, and nulls at the epoch for a row that is not there."""
    body = orjson.loads(await request.read())
    entities: dict[str, list[Any]] = body["entities"]
    count = len(next(iter(entities.values())))
    columns = [(name, values, [NEVER_WRITTEN] * count) for name, values in entities.items()]
    for reference in sorted(body["features"], reverse=True):
        view, feature = reference.split(":")
        name = f"{view}__{feature}" if body["full_feature_names"] else feature
        cells = [_cell(view, feature, {key: values[row] for key, values in entities.items()}) for row in range(count)]
        columns.append((name, [value for value, _ in cells], [stamp for _, stamp in cells]))
    results = [
        {"values": values, "statuses": ["PRESENT"] * count, "event_timestamps": stamps} for _, values, stamps in columns
    ]
    return web.json_response({"metadata": {"feature_names": [name for name, _, _ in columns]}, "results": results})


def _cell(view: str, feature: str, row: Mapping[str, Any]) -> tuple[Any, str]:
    if view == "trip_price":
        rating, _ = _cell("driver_fv", "rating", row)
        return None if rating is None else rating * row["km"], NEVER_WRITTEN
    entities = next(entities for name, entities, _, _ in _VIEWS if name == view)
    values, stamp = _ROWS.get((view, tuple(row[_JOIN_KEYS[entity]] for entity in entities)), ({}, NEVER_WRITTEN))
    return values.get(feature), stamp


def value_of(value: object) -> Value:
    """A value in the field that Feast's Python SDK gives it; a Value as it is."""
    match value:
        case Value():
            return value
        case None:
            return Value()
        case bool():
            return Value(bool_val=value)
        case int():
            return Value(int64_val=value)
        case float():
            return Value(double_val=value)
        case str():
            return Value(string_val=value)
    raise TypeError(value)


def request_of(
    selection: str | Sequence[str],
    entities: Mapping[str, Sequence[object]],
    *,
    request_context: Mapping[str, Sequence[object]] | None = None,
    full_feature_names: bool = False,
) -> GetOnlineFeaturesRequest:
    """A request for a feature service, or for references."""
    request = GetOnlineFeaturesRequest(full_feature_names=full_feature_names)
    if isinstance(selection, str):
        request.feature_service = selection
    else:
        request.features.val.extend(selection)
    for columns, given in ((request.entities, entities), (request.request_context, request_context or {})):
        for name, values in given.items():
            # An empty column is there too.
            columns[name].val.extend(map(value_of, values))
    return request


def feast_stub(gateway: Gateway) -> Any:
    """Feast's own stub, connected to a gateway."""
    return ServingServiceStub(gateway.channel)  # type: ignore[no-untyped-call]


async def ask(gateway: Gateway, request: GetOnlineFeaturesRequest, **metadata: str) -> GetOnlineFeaturesResponse:
    """Call GetOnlineFeatures through Feast's own stub."""
    answer = await feast_stub(gateway).GetOnlineFeatures(request, timeout=10, metadata=[*metadata.items()])
    assert isinstance(answer, GetOnlineFeaturesResponse)
    return answer
