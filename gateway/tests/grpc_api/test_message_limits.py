"""What is larger than its limit is refused, and what is as large is not, over gRPC."""

import asyncio
from dataclasses import replace
from typing import Any

import grpc
import pytest
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
    StreamUserFeaturesRequest,
)

_USER = "3413-BMNZE"
_REQUEST = GetUserFeaturesRequest(user_id=_USER)
_TIMEOUT_S = 20
_MAX_BYTES = 1000
_MAX_METADATA_BYTES = 4096
# HTTP's status 431 is UNKNOWN for gRPC's clients.
_OVER_METADATA = {"grpcio": grpc.StatusCode.RESOURCE_EXHAUSTED, "native": grpc.StatusCode.UNKNOWN}


def _of_size(size: int) -> GetUserFeaturesRequest:
    """A request of some bytes, which is refused for its hash if it is read."""
    request = GetUserFeaturesRequest(user_id=_USER)
    request.contract_hash = "x" * (size - request.ByteSize() - 3)
    assert request.ByteSize() == size
    return request


async def _code(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(
        settings,
        max_message_bytes=_MAX_BYTES,
        max_metadata_bytes=_MAX_METADATA_BYTES,
        max_batch_users=2,
        max_user_id_bytes=10,
    )


async def test_a_message_has_at_most_so_many_bytes(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        get = gateway.stub.GetUserFeatures
        assert await _code(get(_of_size(_MAX_BYTES))) is grpc.StatusCode.FAILED_PRECONDITION
        assert await _code(get(_of_size(_MAX_BYTES + 1))) is grpc.StatusCode.RESOURCE_EXHAUSTED
        batch = BatchGetUserFeaturesRequest(user_ids=["x" * _MAX_BYTES])
        assert await _code(gateway.stub.BatchGetUserFeatures(batch)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        stream = gateway.stub.StreamUserFeatures(iter([StreamUserFeaturesRequest(request=_of_size(_MAX_BYTES))]))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert feature_server.requests == []
        # The connection goes on.
        assert await _code(get(_REQUEST)) is grpc.StatusCode.OK


async def test_metadata_have_at_most_so_many_bytes(
    gateway: Gateway, settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        # What gRPC itself sends takes some of them.
        get, large = gateway.stub.GetUserFeatures, "x" * (_MAX_METADATA_BYTES - 1000)
        for _ in range(20):
            assert await _code(get(_REQUEST, metadata=[("authorization", large)])) is grpc.StatusCode.OK
        answered = len(feature_server.requests)
        for metadata in (
            [("authorization", "x" * _MAX_METADATA_BYTES)],
            [(f"x-{number}", "x") for number in range(_MAX_METADATA_BYTES // 32)],
        ):
            assert await _code(get(_REQUEST, metadata=metadata)) is _OVER_METADATA[settings.grpc_engine]
        assert len(feature_server.requests) == answered


async def test_ids_and_batches_have_limits_of_their_own(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        too_long = GetUserFeaturesRequest(user_id=_USER + "X")
        assert await _code(gateway.stub.GetUserFeatures(too_long)) is grpc.StatusCode.INVALID_ARGUMENT
        batch = BatchGetUserFeaturesRequest(user_ids=[_USER] * 3)
        assert await _code(gateway.stub.BatchGetUserFeatures(batch)) is grpc.StatusCode.INVALID_ARGUMENT
        assert feature_server.requests == []
        batch = BatchGetUserFeaturesRequest(user_ids=[_USER] * 2)
        assert await _code(gateway.stub.BatchGetUserFeatures(batch)) is grpc.StatusCode.OK
