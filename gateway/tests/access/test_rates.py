"""How much an identity may ask in a second, and what others get beside one that asks for all."""

import asyncio
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from access_fakes import ALL, TIMEOUT_S, USER, Place, Shown, over_http, stream, unary, with_policy, with_tokens
from feature_gateway.access.budget import Budget
from feature_gateway.access.caller import Caller, Rights
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import GatewayError
from feature_gateway.server import running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st
from own_time import run_in_own_time
from slot_fakes import FixedSlots, TimedReader
from streamflow.features.v1 import user_feature_service_pb2 as pb2
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_SET = FeatureSet((ContractFeature("f", "v", "f", "String", None),), ())
_SHOWN = Shown("Bearer x")
# So few that none is added while a test runs.
_SELDOM = 1e-6


def _gated(settings: Settings, folder: Path, **rates: float) -> Settings:
    return with_policy(with_tokens(settings, folder, {"x": "x", "y": "y"}), folder, {"token:*": {**ALL, **rates}})


@pytest.mark.parametrize("engine", ["grpcio", "native"])
async def test_a_call_beyond_the_rate_is_told_when_to_come_again_and_costs_no_read(
    settings: Settings, feature_server: FakeFeatureServer, tmp_path: Path, engine: str
) -> None:
    gated = _gated(replace(settings, grpc_engine=engine), tmp_path, calls_per_s=_SELDOM)
    async with running_gateway(gated) as addresses:
        place = Place(addresses)
        async with place.channel(_SHOWN) as channel:
            assert await unary(channel, "GetUserFeatures", _SHOWN) == "OK"
            feature_server.requests.clear()
            stub: Any = UserFeatureServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.GetUserFeatures(
                    pb2.GetUserFeaturesRequest(user_id=USER), timeout=TIMEOUT_S, metadata=_SHOWN.metadata
                )
            status = rpc_status.from_call(raised.value)  # type: ignore[arg-type]  # its annotation forgets grpc.aio
            assert status is not None
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            assert status.details[0].Unpack(info)
            assert status.details[1].Unpack(retry)
            assert (raised.value.code().name, info.reason) == ("RESOURCE_EXHAUSTED", "ERROR_REASON_RATE_LIMITED")
            assert 1 < retry.retry_delay.seconds <= 1 / _SELDOM
            methods = ("BatchGetUserFeatures", "GetOnlineFeatures", "ListFeatureServices", "GetFeastServingInfo")
            assert {await unary(channel, method, _SHOWN) for method in methods} == {"RESOURCE_EXHAUSTED"}
            assert await stream(channel, _SHOWN) == "RESOURCE_EXHAUSTED"
            assert await over_http(place, _SHOWN) == "RESOURCE_EXHAUSTED"
            assert feature_server.requests == []
            # Another identity of the same entry has a budget of its own.
            assert await unary(channel, "GetUserFeatures", Shown("Bearer y")) == "OK"


@pytest.mark.parametrize("engine", ["grpcio", "native"])
async def test_a_call_that_asks_for_what_is_not_there_is_counted_once(
    settings: Settings, tmp_path: Path, engine: str
) -> None:
    gated = _gated(replace(settings, grpc_engine=engine), tmp_path, calls_per_s=2.0)
    async with running_gateway(gated) as addresses, Place(addresses).channel(_SHOWN) as channel:
        stub: Any = UserFeatureServiceStub(channel)
        wrong = pb2.GetUserFeaturesRequest(user_id=USER, feature_service="no_such_service")
        codes = []
        # The first makes the caller known; `native` answers calls of known callers without a task.
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.GetUserFeatures(wrong, timeout=TIMEOUT_S, metadata=_SHOWN.metadata)
            codes.append(raised.value.code().name)
        assert codes == ["NOT_FOUND", "NOT_FOUND"]


async def test_users_of_batches_and_rows_are_counted(settings: Settings, tmp_path: Path) -> None:
    gated = _gated(settings, tmp_path, users_per_s=_SELDOM)
    async with running_gateway(gated) as addresses, Place(addresses).channel(_SHOWN) as channel:
        stub: Any = UserFeatureServiceStub(channel)
        batch = pb2.BatchGetUserFeaturesRequest(user_ids=[USER] * 1000)
        # Larger than what is there: it is let in, and owed.
        await stub.BatchGetUserFeatures(batch, timeout=TIMEOUT_S, metadata=_SHOWN.metadata)
        assert await unary(channel, "GetOnlineFeatures", _SHOWN) == "RESOURCE_EXHAUSTED"
        # It has no users.
        assert await unary(channel, "ListFeatureServices", _SHOWN) == "OK"


@given(
    st.floats(0.1, 1000), st.floats(0.1, 1000), st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50)), max_size=60)
)
def test_no_history_gets_more_than_the_rates_and_who_waits_as_told_is_let_in(
    calls_per_s: float, users_per_s: float, history: list[tuple[float, int]]
) -> None:
    clock = [0.0]
    budget = Budget(calls_per_s=calls_per_s, users_per_s=users_per_s, now_s=lambda: clock[0])
    calls = users = last = 0
    for pause_s, asked in history:
        clock[0] += pause_s
        try:
            budget.spend(asked)
        except GatewayError as error:
            clock[0] += (error.retry_after_s or 0) * (1 + 1e-9) + 1e-6
            budget.spend(asked)
        calls, users, last = calls + 1, users + asked, asked or last
        assert calls <= max(1.0, calls_per_s) + clock[0] * calls_per_s + 1e-3
        # The last call with users may owe.
        assert users - last <= max(1.0, users_per_s) + clock[0] * users_per_s + 1e-3


async def _answered(flooded: float | None, *, read_s: float, row_s: float) -> int:
    """Return how many calls of few callers are answered beside many of another identity, which has a rate."""
    loop = asyncio.get_running_loop()
    coalescer = Coalescer(FixedSlots(TimedReader(read_s, row_s)), max_read_rows=64, max_queued=4096)
    answers = 0

    async def call_on(name: str, caller: Caller) -> None:
        nonlocal answers
        for number in count():
            if loop.time() >= 2.0:
                return
            try:
                caller.spend(1)
                await coalescer.row(_SET, (f"{name}-{number}",), caller_key=caller.key, timeout_s=0.05)
            except GatewayError as error:
                await asyncio.sleep(min(error.retry_after_s or 0.001, 0.01))
            else:
                answers += name.startswith("few")

    few = Caller("token:few")
    callers = [call_on(f"few-{number}", few) for number in range(16)]
    if flooded is not None:
        budget = Budget(calls_per_s=flooded, users_per_s=None, now_s=loop.time)
        many = Caller("token:many", Rights(calls_per_s=flooded), budget=budget)
        callers += [call_on(f"many-{number}", many) for number in range(64)]
    await asyncio.gather(*callers)
    return answers


# Reads of 16 callers alone take 5.8 ms for each 16 calls, 2,760 calls a second.
@pytest.mark.parametrize(("read_s", "row_s"), [(0.0025, 0.00005), (0.0018, 0.00014), (0.001, 0.0002)])
def test_beside_a_flood_that_has_a_rate_others_keep_four_fifths_of_what_they_get_alone(
    read_s: float, row_s: float
) -> None:
    alone = run_in_own_time(_answered(None, read_s=read_s, row_s=row_s))
    beside = run_in_own_time(_answered(200.0, read_s=read_s, row_s=row_s))
    assert beside >= 0.8 * alone


def test_it_is_the_rate_that_keeps_it_for_them() -> None:
    alone, beside = (run_in_own_time(_answered(rate, read_s=0.001, row_s=0.0002)) for rate in (None, 1e9))
    assert beside < 0.8 * alone
