"""GetOnlineFeatures through Feast's own stub: rows of any entity, names, order, statuses and event timestamps."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from feast.protos.feast.serving.ServingService_pb2 import (
    FieldStatus,
    GetFeastServingInfoRequest,
    GetOnlineFeaturesResponse,
)
from feast.protos.feast.types.Value_pb2 import Value
from feast_api_fakes import answer_feast, ask, feast_stub, request_of, write_feast_api_contract
from gateway_fakes import FakeFeatureServer, Gateway, error_details


@pytest.fixture
def contract_path(tmp_path: Path, feature_server: FakeFeatureServer) -> Path:
    feature_server.answer = answer_feast
    return write_feast_api_contract(tmp_path)


def _names(answer: GetOnlineFeaturesResponse) -> list[str]:
    return [*answer.metadata.feature_names.val]


def _python(value: Value) -> Any:
    field = value.WhichOneof("val")
    if field is None:
        return None
    content = getattr(value, field)
    return [*content.val] if field.endswith("_list_val") else content


def _column(answer: GetOnlineFeaturesResponse, name: str) -> list[tuple[Any, str, int]]:
    """Each row's value, status and event timestamp in seconds."""
    result = answer.results[_names(answer).index(name)]
    cells = zip(result.values, result.statuses, result.event_timestamps, strict=True)
    return [(_python(value), FieldStatus.Name(status), stamp.seconds) for value, status, stamp in cells]


def _asked(feature_server: FakeFeatureServer) -> list[dict[str, Any]]:
    """The requests of the tests; canary reads name other drivers."""
    return [body for body in feature_server.requests if 1 in body["entities"].get("driver_id", [])]


_FRESH_S, _OLD_S = 4070908800, 1709164800


async def test_a_feature_service_is_answered_in_its_order_behind_the_join_keys(gateway: Gateway) -> None:
    answer = await ask(gateway, request_of("drivers_v1", {"driver_id": [1]}))
    assert _names(answer) == ["driver_id", "tags", "rating", "trips"]
    assert _column(answer, "driver_id") == [(1, "PRESENT", 0)]
    assert _column(answer, "tags") == [(["fast", ""], "PRESENT", _FRESH_S)]
    assert _column(answer, "rating") == [(4.5, "PRESENT", _FRESH_S)]
    assert _column(answer, "trips") == [(30, "PRESENT", _FRESH_S)]


async def test_statuses_follow_the_truth_table_in_many_rows_in_the_order_asked(gateway: Gateway) -> None:
    answer = await ask(gateway, request_of("drivers_v1", {"driver_id": [2, 9, 1, 2]}))
    old_rating, old_null = (3.5, "OUTSIDE_MAX_AGE", _OLD_S), (None, "NULL_VALUE", _OLD_S)
    assert _column(answer, "driver_id") == [(driver, "PRESENT", 0) for driver in (2, 9, 1, 2)]
    assert _column(answer, "rating") == [old_rating, (None, "NOT_FOUND", 0), (4.5, "PRESENT", _FRESH_S), old_rating]
    assert _column(answer, "trips") == [old_null, (None, "NOT_FOUND", 0), (30, "PRESENT", _FRESH_S), old_null]


async def test_references_are_answered_in_the_order_asked(gateway: Gateway) -> None:
    references = ["driver_city_fv:tips", "driver_fv:rating", "driver_city_fv:trips"]
    answer = await ask(gateway, request_of(references, {"driver_id": [1], "city_code": ["LIS"]}))
    assert _names(answer) == ["city_code", "driver_id", "tips", "rating", "trips"]
    assert _column(answer, "tips") == [(12.5, "PRESENT", _OLD_S)]
    assert _column(answer, "trips") == [(20, "PRESENT", _OLD_S)]


async def test_rows_of_a_composite_key_are_of_the_whole_key(gateway: Gateway) -> None:
    entities: dict[str, list[object]] = {"driver_id": [1, 1, 2], "city_code": ["LIS", "OPO", "LIS"]}
    answer = await ask(gateway, request_of(["driver_city_fv:trips", "driver_fv:rating"], entities))
    assert [status for _, status, _ in _column(answer, "trips")] == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]
    assert [value for value, _, _ in _column(answer, "rating")] == [4.5, 4.5, 3.5]


async def test_full_names_are_those_of_features_and_not_of_join_keys(gateway: Gateway) -> None:
    request = request_of("clash_v1", {"driver_id": [1], "city_code": ["LIS"]}, full_feature_names=True)
    answer = await ask(gateway, request)
    assert _names(answer) == ["city_code", "driver_id", "driver_fv__trips", "driver_city_fv__trips"]
    assert [_column(answer, name)[0][0] for name in _names(answer)[2:]] == [30, 20]


async def test_short_names_and_full_names_are_kept_apart(gateway: Gateway) -> None:
    for full, names in ((False, ["driver_id", "rating"]), (True, ["driver_id", "driver_fv__rating"])) * 2:
        request = request_of(["driver_fv:rating"], {"driver_id": [1]}, full_feature_names=full)
        assert _names(await ask(gateway, request)) == names


@pytest.mark.parametrize("field", ["int32_val", "int64_val"])
async def test_a_key_of_an_integer_type_takes_both_integers_and_is_answered_as_given(
    gateway: Gateway, field: str
) -> None:
    key = Value()
    setattr(key, field, -1)
    answer = await ask(gateway, request_of(["shop_fv:revenue", "shop_fv:seen_at"], {"shop_id": [key]}))
    assert answer.results[0].values[0] == key
    assert _column(answer, "revenue") == [(0.0, "PRESENT", _FRESH_S)]
    assert answer.results[2].values[0] == Value(unix_timestamp_val=1709164800)


async def test_the_string_entity_of_users_is_an_entity_like_others(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = None
    answer = await ask(gateway, request_of("churn_v1", {"user_id": ["3413-BMNZE"]}))
    assert [_column(answer, name)[0][:2] for name in _names(answer)] == [
        ("3413-BMNZE", "PRESENT"),
        (1, "PRESENT"),
        (29.85, "PRESENT"),
        (None, "NULL_VALUE"),
        ("DSL", "PRESENT"),
    ]


@pytest.mark.parametrize("place", ["entities", "request_context"])
async def test_request_data_are_in_the_context_or_among_the_entities_and_not_in_the_reply(
    gateway: Gateway, feature_server: FakeFeatureServer, place: str
) -> None:
    entities: dict[str, list[object]] = {"driver_id": [1, 9]}
    context: dict[str, list[object]] = {}
    (entities if place == "entities" else context)["km"] = [2, 0.5]
    answer = await ask(gateway, request_of("trips_v1", entities, request_context=context))
    assert _names(answer) == ["driver_id", "rating", "price"]
    assert _column(answer, "price") == [(9.0, "PRESENT", _FRESH_S), (None, "NOT_FOUND", 0)]
    # Brought to its type: Feast would take 2, 0.5 for integers.
    (asked,) = _asked(feature_server)
    assert repr(asked["entities"]["km"]) == "[2.0, 0.5]"


async def test_equal_rows_are_read_once(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    answer = await ask(gateway, request_of("drivers_v1", {"driver_id": [1, 1, 1]}))
    assert [value for value, _, _ in _column(answer, "rating")] == [4.5] * 3
    assert [asked["entities"] for asked in _asked(feature_server)] == [{"driver_id": [1]}]


async def test_the_authorization_is_sent_on(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    seen: list[str | None] = []

    async def answer(request: Any) -> Any:
        if (await request.json())["entities"] == {"driver_id": [1]}:
            seen.append(request.headers.get("Authorization"))
        return await answer_feast(request)

    feature_server.answer = answer
    await ask(gateway, request_of("drivers_v1", {"driver_id": [1]}), authorization="Bearer x")
    assert seen == ["Bearer x"]


async def test_the_deadline_is_the_calls(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    async def never(request: Any) -> Any:
        del request
        await asyncio.Event().wait()

    feature_server.answer = never
    stub = feast_stub(gateway)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.GetOnlineFeatures(request_of("drivers_v1", {"driver_id": [1]}), timeout=0.2)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_an_error_of_one_row_is_the_calls_and_names_the_row(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    async def answer(request: Any) -> Any:
        body = await request.json()
        answered = json.loads((await answer_feast(request)).text or "")
        trips = answered["results"][answered["metadata"]["feature_names"].index("driver_fv__trips")]
        trips["values"] = ["many" if driver == 2 else 30 for driver in body["entities"]["driver_id"]]
        return web.json_response(answered)

    feature_server.answer = answer
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await ask(gateway, request_of(["driver_fv:trips"], {"driver_id": [1, 2]}))
    assert failure.value.code() is grpc.StatusCode.INTERNAL
    assert (failure.value.details() or "").startswith(
        "Row 1: The feature server's value of driver_fv:trips is not Int64"
    )
    assert error_details(failure.value)[0].reason == "ERROR_REASON_UPSTREAM_MISMATCH"


async def test_serving_info_names_the_gateway_and_its_version(gateway: Gateway) -> None:
    stub = feast_stub(gateway)
    info = await stub.GetFeastServingInfo(GetFeastServingInfoRequest(), timeout=5)
    assert info.version == "feature-gateway 0.1.0"
