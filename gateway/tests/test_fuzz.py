"""Mutated and random requests on every call: never INTERNAL, never UNKNOWN, and the gateway lives.

FUZZ_REQUESTS sets how many (2,000 by default), FUZZ_SEED which.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
from feast_api_fakes import request_of
from gateway_fakes import FakeFeatureServer, Gateway
from google.protobuf.duration_pb2 import Duration
from streamflow.features.v1.feature_pb2 import DoubleList
from streamflow.features.v1.request_data_pb2 import RequestValue
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    FeatureReferences,
    GetFeatureServiceRequest,
    GetUserFeaturesRequest,
    ListFeatureServicesRequest,
    StalenessPolicy,
    StreamUserFeaturesRequest,
)

_REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "2000"))
_SEED = int(os.environ.get("FUZZ_SEED", "1"))
_CALLERS = 32
_TIMEOUT_S = 20
_SERVICE = "/streamflow.features.v1.UserFeatureService"
_FEASTS_SERVICE = "/feast.serving.ServingService"
_EXPECTED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}

_IDS = ["3413-BMNZE", "0000-AAAAA", "", "x", "3413-bmnze", "3413-BMNZE\n", "é" * 70, "\x00", "9" * 200, "٣٤١٣-BMNZE"]
_KEYS: list[object] = [*["3413-BMNZE"] * 9, *_IDS, 1, 2**63 - 1, 1.0, float("nan"), True, None]
_SERVICES = ["churn_v1", "scores_v1", "", "nope", "x" * 3000]
_REFERENCES = [
    "profile_fv:monthly_fee",
    "usage_fv:score",
    "profile_fv:score",
    "",
    ":",
    "a:b:c",
    "nope:x",
    "profile_fv:",
]
_REQUEST_VALUES = [
    RequestValue(),
    RequestValue(double_value=float("nan")),
    RequestValue(string_value="x" * 3000),
    RequestValue(double_list_value=DoubleList(val=[1.0] * 1000)),
]
_HASHES = ["", "", "", "sha256:00", "☃"]


def _common(rng: random.Random) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "contract_hash": rng.choice(_HASHES),
        "staleness_policy": StalenessPolicy.ValueType(rng.choice([0, 0, 1, 2, 3, 4, -1, 2**31 - 1])),
        "include_serving_info": rng.random() < 0.5,
    }
    selection = rng.random()
    if selection < 0.4:
        fields["feature_service"] = rng.choice(_SERVICES)
    elif selection < 0.8:
        references = [rng.choice(_REFERENCES) for _ in range(rng.randrange(0, 10))]
        fields["feature_references"] = FeatureReferences(references=references)
    if rng.random() < 0.4:
        fields["max_age"] = _duration(rng)
    if rng.random() < 0.2:
        fields["request_data"] = {rng.choice(_IDS[:4]): rng.choice(_REQUEST_VALUES) for _ in range(rng.randrange(3))}
    return fields


def _duration(rng: random.Random) -> Duration:
    return Duration(
        seconds=rng.choice([0, 1, 10**9, 315_576_000_000, 315_576_000_001, -1, 2**63 - 1, -(2**63)]),
        nanos=rng.choice([0, 1, 999_999_999, -1, 2**31 - 1, -(2**31)]),
    )


def _feasts(rng: random.Random) -> bytes:
    references = [rng.choice(_REFERENCES) for _ in range(rng.randrange(0, 4))]
    rows = rng.choice([0, 1, 1, 5, 70, 1001])
    names = ["user_id", *rng.choices(["nope", "", "km"], k=rng.choice([0, 0, 0, 1, 2]))]
    entities = {name: [rng.choice(_KEYS) for _ in range(rng.choice([rows, rows, rows, 1]))] for name in names}
    return request_of(
        rng.choice([*_SERVICES, references, references]),
        entities,
        request_context={"km": [rng.choice(_KEYS)]} if rng.random() < 0.1 else None,
        full_feature_names=rng.random() < 0.5,
    ).SerializeToString()


def _message(rng: random.Random) -> tuple[str, bytes]:
    kind = rng.randrange(6)
    if kind == 5:
        return "GetOnlineFeatures", _feasts(rng)
    if kind == 0:
        ids = [rng.choice(_IDS) for _ in range(rng.choice([0, 1, 5, 70, 1001]))]
        return "BatchGetUserFeatures", BatchGetUserFeaturesRequest(user_ids=ids, **_common(rng)).SerializeToString()
    if kind == 1:
        return "GetFeatureService", GetFeatureServiceRequest(name=rng.choice(_SERVICES)).SerializeToString()
    if kind == 2:
        return "ListFeatureServices", ListFeatureServicesRequest().SerializeToString()
    question = GetUserFeaturesRequest(user_id=rng.choice(_IDS), **_common(rng))
    if kind == 3:
        return "GetUserFeatures", question.SerializeToString()
    asked = StreamUserFeaturesRequest(request_id=rng.getrandbits(64), request=question)
    if rng.random() < 0.5:
        asked.timeout.CopyFrom(_duration(rng))
    return "StreamUserFeatures", asked.SerializeToString()


def _mutated(rng: random.Random, message: bytes) -> bytes:
    """A message as it is, or with bytes changed, cut, doubled, or made up."""
    how = rng.randrange(6)
    if how == 0:
        return rng.randbytes(rng.randrange(0, 200))
    at = rng.randrange(len(message) + 1)
    if how == 1:
        return message[:at] + rng.randbytes(min(rng.randrange(1, 6), len(message) - at)) + message[at + 6 :]
    if how == 2:
        return message[:at]
    if how == 3:
        return message + message
    if how == 4:
        return message[:at] + rng.randbytes(rng.randrange(1, 9)) + message[at:]
    return message


async def _outcome(gateway: Gateway, method: str, message: bytes) -> str:
    channel: Any = gateway.channel
    try:
        if method == "StreamUserFeatures":
            async for _ in channel.stream_stream(f"{_SERVICE}/{method}")(_once(message), timeout=_TIMEOUT_S):
                pass
        else:
            service = _FEASTS_SERVICE if method == "GetOnlineFeatures" else _SERVICE
            await channel.unary_unary(f"{service}/{method}")(message, timeout=_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def _once(message: bytes) -> AsyncIterator[bytes]:
    yield message


async def test_no_request_gets_more_than_a_refusal(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    rng = random.Random(_SEED)  # noqa: S311  # repeatable on purpose
    outcomes: Counter[str] = Counter()
    surprises: list[tuple[str, str, bytes]] = []
    left = iter(range(_REQUESTS))

    async def caller() -> None:
        for _ in left:
            method, message = _message(rng)
            message = _mutated(rng, message)
            outcome = await _outcome(gateway, method, message)
            outcomes[outcome] += 1
            if outcome not in _EXPECTED:
                surprises.append((outcome, method, message))

    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    assert surprises == []
    assert sum(outcomes.values()) == _REQUESTS
    # It reaches the feature server often enough to mean something.
    assert outcomes["OK"] > _REQUESTS / 10
    assert outcomes["INVALID_ARGUMENT"] > _REQUESTS / 10
    assert feature_server.requests
    assert await _outcome(gateway, "ListFeatureServices", b"") == "OK"
