"""get_online_features of both clients, against a real gateway: the signature and the results of Feast's SDK."""

import asyncio
import inspect
import pickle
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import feast
import numpy as np
import pandas as pd
import pytest
from feast.online_response import OnlineResponse as FeastsResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse as FeastsReply
from feast_api_fakes import answer_feast, write_feast_api_contract
from gateway_fakes import FakeFeatureServer, Gateway, gateway_settings, serving
from streamflow.features.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from streamflow.features.feast.types.Value_pb2 import NULL, Int64List, StringList, Value
from streamflow_features import (
    AsyncFeatureClient,
    ErrorReason,
    FeatureClient,
    FeatureStatus,
    InvalidArgument,
    NotFound,
    OnlineResponse,
)
from streamflow_features._online_request import online_request
from streamflow_features._online_response import online_response

_TIMEOUT_S = 20


@pytest.fixture
async def gateway(tmp_path: Path, feature_server: FakeFeatureServer) -> AsyncIterator[Gateway]:
    feature_server.answer = answer_feast
    async with serving(gateway_settings(feature_server, write_feast_api_contract(tmp_path))) as running:
        yield running


async def _ask_sync(gateway: Gateway, *arguments: Any, **options: Any) -> OnlineResponse:
    with FeatureClient(gateway.addresses.grpc, timeout_s=_TIMEOUT_S, follow_health=False) as client:
        return await asyncio.to_thread(client.get_online_features, *arguments, **options)


async def _ask_async(gateway: Gateway, *arguments: Any, **options: Any) -> OnlineResponse:
    async with AsyncFeatureClient(gateway.addresses.grpc, timeout_s=_TIMEOUT_S, follow_health=False) as client:
        return await client.get_online_features(*arguments, **options)


@pytest.fixture(params=[_ask_sync, _ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param  # type: ignore[no-any-return]


class _Service:
    name = "drivers_v1"


async def test_a_feature_service_is_answered_for_rows(gateway: Gateway, ask: Callable[..., Any]) -> None:
    response = await ask(gateway, _Service(), [{"driver_id": 1}, {"driver_id": 9}])
    assert response.to_dict() == {
        "driver_id": [1, 9],
        "tags": [["fast", ""], None],
        "rating": [4.5, None],
        "trips": [30, None],
    }
    assert response.columns["rating"].statuses == (FeatureStatus.PRESENT, FeatureStatus.NOT_FOUND)
    assert response.columns["rating"].event_timestamps == (datetime(2099, 1, 1, tzinfo=UTC), None)


async def test_references_are_answered_for_columns(gateway: Gateway, ask: Callable[..., Any]) -> None:
    response = await ask(
        gateway,
        features=["driver_city_fv:trips", "shop_fv:seen_at"],
        entity_rows={"driver_id": np.array([1]), "city_code": ["LIS"], "shop_id": (-1,)},
        full_feature_names=True,
    )
    found = response.to_dict()
    assert found["driver_city_fv__trips"] == [20]
    assert found["shop_fv__seen_at"] == [datetime(2024, 2, 29, tzinfo=UTC)]


async def test_a_wrong_row_and_a_wrong_selection_are_the_calls_errors(
    gateway: Gateway, ask: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidArgument, match="row 1") as raised:
        await ask(gateway, ["driver_fv:rating"], [{"driver_id": 1}, {"driver_id": "x"}])
    assert raised.value.reason is ErrorReason.ENTITY_KEY_INVALID
    with pytest.raises(NotFound):
        await ask(gateway, ["driver_fv:nothing"], [{"driver_id": 1}])


def test_the_signature_is_feasts() -> None:
    ours = list(inspect.signature(FeatureClient.get_online_features).parameters)
    feasts = list(inspect.signature(feast.FeatureStore.get_online_features).parameters)
    assert ours[:4] == feasts[:4] == ["self", "features", "entity_rows", "full_feature_names"]


def _reply() -> GetOnlineFeaturesResponse:
    values = {
        "shop_id": [Value(int32_val=1), Value(int32_val=2)],
        "revenue": [Value(double_val=1.5), Value()],
        "seen_at": [Value(unix_timestamp_val=1709164800), Value(unix_timestamp_val=-(2**63))],
        "tags": [Value(string_list_val=StringList(val=["a"])), Value(string_list_val=StringList())],
        "times": [Value(unix_timestamp_list_val=Int64List(val=[0, -(2**63)])), Value(null_val=NULL)],
        "open": [Value(bool_val=True), Value(bool_val=False)],
        "photo": [Value(bytes_val=b"\x00"), Value()],
    }
    reply = GetOnlineFeaturesResponse()
    for name, column in values.items():
        reply.metadata.feature_names.val.append(name)
        vector = reply.results.add(values=column, statuses=[1, 2])
        vector.event_timestamps.add(seconds=1709164800, nanos=5)
        vector.event_timestamps.add()
    return reply


@pytest.mark.parametrize("include_event_timestamps", [False, True])
def test_results_are_those_of_feasts_sdk(*, include_event_timestamps: bool) -> None:
    reply = _reply()
    ours = online_response(reply)
    found = ours.to_dict(include_event_timestamps)
    # Feast's SDK makes the number 0 of a null_val, which the gateway never sends.
    times = reply.results[4]
    del times.values[1:]  # noqa: PD011  # a protobuf message
    times.values.add()  # noqa: PD011
    feasts = FeastsResponse(FeastsReply.FromString(reply.SerializeToString()))
    assert found == feasts.to_dict(include_event_timestamps)
    pd.testing.assert_frame_equal(ours.to_df(include_event_timestamps), feasts.to_df(include_event_timestamps))
    assert ours.to_arrow(include_event_timestamps).equals(feasts.to_arrow(include_event_timestamps))


def test_a_response_pickles_and_compares() -> None:
    response = online_response(_reply())
    assert pickle.loads(pickle.dumps(response)) == response  # noqa: S301


def test_values_are_sent_in_the_fields_of_their_types() -> None:
    rows: dict[str, Any] = {
        "a": [1, np.int64(2), None],
        "b": [True, np.True_, False],
        "c": [1.5, np.float32(0.5), 2.0],
        "d": ["x", "y", ""],
        "e": [[1, 2.5], (1,), np.array([3])],
        "f": [Value(int32_val=7)] * 3,
    }
    request = online_request(["v:f"], rows, full_feature_names=False)
    fields = {name: [value.WhichOneof("val") for value in column.val] for name, column in request.entities.items()}
    assert fields == {
        "a": ["int64_val", "int64_val", None],
        "b": ["bool_val"] * 3,
        "c": ["double_val"] * 3,
        "d": ["string_val"] * 3,
        "e": ["double_list_val", "int64_list_val", "int64_list_val"],
        "f": ["int32_val"] * 3,
    }


@pytest.mark.parametrize(
    ("features", "rows", "error", "words"),
    [
        ("v:f", [{"a": 1}], TypeError, "give a list of references"),
        (["v:f"], [{"a": 1}, {"b": 1}], ValueError, "row 1 of entity_rows has"),
        (["v:f"], {"a": [1], "b": []}, ValueError, "different numbers of values: a 1, b 0"),
        (["v:f"], {"a": [object()]}, TypeError, "a of row 0 can't be sent: a object is neither"),
        (["v:f"], {"a": [2**63]}, ValueError, "a of row 0 can't be sent"),
        (["v:f"], {"a": [[1, "x"]]}, ValueError, "elements of one type"),
        (["v:f"], {"a": [[]]}, ValueError, "elements of one type, and at least one"),
    ],
)
def test_what_can_not_be_sent_is_refused_by_row_and_name(
    features: Any, rows: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        online_request(features, rows, full_feature_names=False)


async def test_a_call_is_tried_again_on_another_gateway(gateway: Gateway) -> None:
    gone = "127.0.0.1:1"
    with FeatureClient(f"ipv4:{gone},{gateway.addresses.grpc}", timeout_s=_TIMEOUT_S, follow_health=False) as client:
        for _ in range(4):
            rows = [{"driver_id": 1}]
            assert (await asyncio.to_thread(client.get_online_features, ["driver_fv:rating"], rows)).columns
