"""Both faces of the client send request data as plain Python values, in every call."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from gateway_fakes import FakeFeatureServer, Gateway
from request_data_fakes import ALL, OF_ALL, PACE, reads_of
from streamflow_features import (
    AsyncFeatureClient,
    FeatureClient,
    FeatureServingError,
    InvalidArgument,
    Question,
    RequestDataDescription,
    RequestDataValue,
    UserFeatures,
)

_TIMEOUT_S = 20


@pytest.fixture
async def client(drivers: Gateway) -> AsyncIterator[AsyncFeatureClient]:
    async with AsyncFeatureClient(drivers.addresses.grpc, timeout_s=_TIMEOUT_S, follow_health=False) as client:
        yield client


def _shown(result: UserFeatures | FeatureServingError) -> Any:
    return result["pace_out"] if isinstance(result, UserFeatures) else result.reason


_BY_USER: list[dict[str, RequestDataValue]] = [{"minutes": 1}, {"minutes": 2.5}, {}]
_ANSWERS = [7002.0, 7002.0, 8002.0, 7001.0, 7002.5, "ERROR_REASON_REQUEST_DATA_MISSING"]


async def test_the_asyncio_client_sends_request_data_in_calls_batches_and_streams(client: AsyncFeatureClient) -> None:
    async def questions() -> AsyncIterator[Question]:
        for minutes in (3, 4.5):
            yield Question("7", feature_service=PACE, request_data={"minutes": minutes})
        yield Question("7", feature_service=PACE, request_data={"minutes": "SECRET"})

    answers = [
        await client.get_user_features("7", feature_service=PACE, request_data={"minutes": 2}),
        *await client.batch_get_user_features(["7", "8"], feature_service=PACE, request_data={"minutes": 2}),
        *await client.batch_get_user_features(["7", "7", "8"], feature_service=PACE, request_data_by_user=_BY_USER),
    ]
    assert [_shown(answer) for answer in answers] == _ANSWERS
    streamed = [_shown(answer.result) async for answer in client.stream_user_features(questions())]
    assert sorted(map(str, streamed)) == ["7003.0", "7004.5", "ERROR_REASON_REQUEST_DATA_INVALID"]


def _ask_all(target: str) -> list[Any]:
    with FeatureClient(target, timeout_s=_TIMEOUT_S, follow_health=False) as client:
        answers = [
            client.get_user_features("7", feature_service=PACE, request_data={"minutes": 2}),
            *client.batch_get_user_features(["7", "8"], feature_service=PACE, request_data={"minutes": 2}),
            *client.batch_get_user_features(["7", "7", "8"], feature_service=PACE, request_data_by_user=_BY_USER),
        ]
    return [_shown(answer) for answer in answers]


async def test_the_sync_client_sends_request_data_in_calls_and_batches(drivers: Gateway) -> None:
    assert await asyncio.to_thread(_ask_all, drivers.addresses.grpc) == _ANSWERS


async def test_python_values_and_numbers_of_numpy_arrive_as_the_types_of_the_definition(
    client: AsyncFeatureClient, feature_server: FakeFeatureServer
) -> None:
    plain: dict[str, Any] = {
        "flag": True,
        "small": -1,
        "big": 2**63 - 1,
        "part": 3,
        "text": "naïve 名",
        "path": [1, 2.5],
    }
    numpy: dict[str, Any] = {**plain, "small": np.int32(-1), "big": np.int64(2**63 - 1), "part": np.float32(3)}
    for data in (plain, numpy | {"path": np.array([1, 2.5])}):
        await client.get_user_features("7", feature_service=ALL, request_data=data)
    for read in reads_of(feature_server):
        assert [read[name] for name in OF_ALL] == [[True], [-1], [2**63 - 1], [3.0], ["naïve 名"], [[1.0, 2.5]]]


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (
            None,
            TypeError,
            "minutes are of type NoneType; give a bool, an int, a float, a str, or a list",
        ),
        (datetime(2024, 1, 1, tzinfo=UTC), TypeError, "of type datetime"),
        (b"1", TypeError, "of type bytes"),
        ({"a": 1}, TypeError, "of type dict"),
        ([1, "a"], TypeError, "elements of the request data minutes are of different types"),
        (2**63, ValueError, "outside the range of 64-bit integers"),
    ],
)
def test_what_can_not_be_request_data_is_refused_before_the_call(value: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Question("7", request_data={"minutes": value})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "MISSING"),
        ({"minutes": 1, "hours": 1}, "UNKNOWN"),
        ({"minutes": "SECRET"}, "INVALID"),
        ({"minutes": []}, "INVALID"),
        ({"minutes": float("nan")}, "INVALID"),
    ],
)
async def test_wrong_request_data_raise_invalid_argument_with_the_name(
    client: AsyncFeatureClient, data: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await client.get_user_features("7", feature_service=PACE, request_data=data)
    assert raised.value.reason == f"ERROR_REASON_REQUEST_DATA_{reason}"
    assert raised.value.metadata["name"] == ("hours" if reason == "UNKNOWN" else "minutes")
    assert "SECRET" not in str(raised.value)


async def test_a_feature_service_describes_its_request_data(client: AsyncFeatureClient) -> None:
    described = tuple(RequestDataDescription(name, dtype) for name, dtype in OF_ALL.items())
    assert (await client.get_feature_service(ALL)).request_data == described
    assert [len(service.request_data) for service in await client.list_feature_services()] == [len(OF_ALL), 1]
