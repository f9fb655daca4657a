"""The methods for users serve the entity that a setting names, and say so where they can't."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import ClientSession
from any_entity import any_entity_content, computed, of_keys
from feature_gateway.settings import Settings
from gateway_fakes import (
    FakeFeatureServer,
    Gateway,
    error_details,
    gateway_settings,
    health_becomes,
    serving,
    written_contract,
)
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    FeatureReferences,
    GetFeatureServiceRequest,
    GetUserFeaturesRequest,
    ListFeatureServicesRequest,
    StreamUserFeaturesRequest,
)

_BOUND_S = 20


def _settings(feature_server: FakeFeatureServer, folder: Path, content: dict[str, Any], user_entity: str) -> Settings:
    path = written_contract(folder, content)
    feature_server.answer = feature_server.canary_answer = computed(of_keys)
    return replace(gateway_settings(feature_server, path), default_feature_service="", user_entity=user_entity)


@pytest.fixture
async def drivers(feature_server: FakeFeatureServer, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway whose users are drivers, who have Int64 keys."""
    content = any_entity_content()
    content["feature_services"] = [one for one in content["feature_services"] if not one["by_name"]]
    async with serving(_settings(feature_server, tmp_path, content, "driver")) as gateway:
        yield gateway


async def _failure(gateway: Gateway, request: GetUserFeaturesRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.GetUserFeatures(request, timeout=_BOUND_S)
    return raised.value


async def test_a_user_id_may_be_a_number_and_the_only_service_of_users_is_the_default(drivers: Gateway) -> None:
    reply = await drivers.stub.GetUserFeatures(GetUserFeaturesRequest(user_id="-7"), timeout=_BOUND_S)
    assert (reply.user_features.user_id, reply.user_features.features[0].double_value) == ("-7", -7.0)
    batch = await drivers.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(user_ids=["1", "01", "2"]), timeout=_BOUND_S
    )
    assert [result.error.reason for result in batch.results] == [0, ErrorReason.ERROR_REASON_USER_ID_MALFORMED, 0]
    stream = drivers.stub.StreamUserFeatures(
        iter([StreamUserFeaturesRequest(request_id=1, request=GetUserFeaturesRequest(user_id="9"))]), timeout=_BOUND_S
    )
    assert [answer.response.user_features.features[0].double_value async for answer in stream] == [9.0]
    async with ClientSession() as session, session.get(f"{drivers.http_url}/features/3") as reply_http:
        assert (await reply_http.json())["features"] == {"rating": 3.0}


@pytest.mark.parametrize("user_id", ["x", "01", "+1", "-0", "1.0", "٣", "9223372036854775808", "9" * 100, "1 "])
async def test_a_user_id_that_is_no_number_of_the_keys_type_is_malformed(drivers: Gateway, user_id: str) -> None:
    error = await _failure(drivers, GetUserFeaturesRequest(user_id=user_id))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_details(error)[0].reason == "ERROR_REASON_USER_ID_MALFORMED"


async def test_features_that_need_another_key_are_refused_with_its_name(
    drivers: Gateway, feature_server: FakeFeatureServer
) -> None:
    await health_becomes(drivers.channel, "SERVING")
    asked = len(feature_server.requests)
    error = await _failure(drivers, GetUserFeaturesRequest(user_id="1", feature_service="trips_v1"))
    info, _ = error_details(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_ENTITY_KEY_MISSING")
    assert info.metadata["join_key"] == "shop_id"
    references = FeatureReferences(references=["place_fv:visits"])
    error = await _failure(drivers, GetUserFeaturesRequest(user_id="1", feature_references=references))
    assert error_details(error)[0].metadata["join_key"] == "place_id"
    assert len(feature_server.requests) == asked


async def test_the_join_key_of_users_is_told(drivers: Gateway) -> None:
    reply = await drivers.stub.GetFeatureService(GetFeatureServiceRequest(name="driver_v1"), timeout=_BOUND_S)
    assert reply.join_key == "driver_id"


async def test_a_contract_without_the_entity_has_the_methods_say_so_and_serves_the_rest(
    feature_server: FakeFeatureServer, tmp_path: Path
) -> None:
    content = any_entity_content(feature_services=[])
    async with serving(_settings(feature_server, tmp_path, content, "user")) as gateway:
        await health_becomes(gateway.channel, "SERVING")
        error = await _failure(gateway, GetUserFeaturesRequest(user_id="1"))
        info, _ = error_details(error)
        assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_USER_ENTITY_MISSING")
        assert info.metadata["entity"] == "user"
        listed = await gateway.stub.ListFeatureServices(ListFeatureServicesRequest(), timeout=_BOUND_S)
        assert (listed.join_key, len(listed.feature_services)) == ("", 0)
        async with ClientSession() as session, session.get(f"{gateway.http_url}/features/3") as reply:
            assert reply.status == 412


async def test_without_a_default_feature_service_a_request_has_to_select(
    feature_server: FakeFeatureServer, tmp_path: Path
) -> None:
    content = any_entity_content(feature_services=[])
    async with serving(_settings(feature_server, tmp_path, content, "driver")) as gateway:
        error = await _failure(gateway, GetUserFeaturesRequest(user_id="1"))
        assert error_details(error)[0].reason == "ERROR_REASON_FEATURE_SERVICE_EMPTY"
        references = FeatureReferences(references=["driver_fv:rating"])
        request = GetUserFeaturesRequest(user_id="1", feature_references=references)
        reply = await gateway.stub.GetUserFeatures(request, timeout=_BOUND_S)
        assert reply.user_features.features[0].double_value == 1.0
