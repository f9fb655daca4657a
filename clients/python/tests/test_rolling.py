"""Two gateways behind one client: one at a time is restarted, or killed, and no call fails."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer
from gateway_pair import CALLERS, USER, Caller, Load, Pair, under_load
from gateway_process import TIMEOUT_S
from streamflow_features import AsyncFeatureClient, FeatureServingError, _channel


@pytest.fixture
async def pair(settings: Settings, feature_server: FakeFeatureServer) -> AsyncIterator[Pair]:
    async with asyncio.timeout(3 * TIMEOUT_S), AsyncExitStack() as stack:
        pair = Pair(replace(settings, drain_pause_s=0.5), feature_server, stack)
        feature_server.answer = pair.answer
        for name in pair.asked:
            await pair.start(name)
        yield pair


@pytest.mark.parametrize("caller", [Load.from_threads, Load.from_tasks])
async def test_a_rolling_restart_costs_no_call(pair: Pair, caller: Caller) -> None:
    async with under_load(pair.target, caller) as load:
        for name in pair.asked:
            # The next one ends only when both are being asked.
            await asyncio.gather(*(pair.is_asked_anew(each) for each in pair.asked))
            gateway = pair.gateways[name]
            gateway.process.terminate()
            assert await gateway.process.wait() == 0
            await pair.start(name)
        await asyncio.gather(*(pair.is_asked_anew(each) for each in pair.asked))
    assert load.failures == []
    assert load.answered > 100


@pytest.mark.parametrize("caller", [Load.from_threads, Load.from_tasks])
async def test_a_gateway_that_ends_as_soon_as_the_other_is_ready_costs_no_call(pair: Pair, caller: Caller) -> None:
    async with under_load(pair.target, caller) as load:
        for _ in range(2):
            await asyncio.gather(*(pair.is_asked_anew(each) for each in pair.asked))
            for name in pair.asked:
                pair.gateways[name].process.terminate()
                await pair.gateways[name].process.wait()
                # The client may not have noticed yet that it is back, and its last attempt to connect just have failed.
                await pair.start(name)
    assert load.failures == []
    assert load.answered > 100


@pytest.mark.parametrize("caller", [Load.from_threads, Load.from_tasks])
async def test_a_gateway_that_is_killed_costs_no_call(pair: Pair, caller: Caller) -> None:
    async with under_load(pair.target, caller) as load:
        for name, other in (("a", "b"), ("b", "a")):
            await asyncio.gather(*(pair.is_asked_anew(each) for each in pair.asked))
            gateway = pair.gateways[name]
            gateway.process.kill()
            await gateway.process.wait()
            await pair.is_asked_anew(other)
            await pair.start(name)
    assert load.failures == []
    assert load.answered > 100


async def test_a_gateway_that_is_frozen_is_given_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_channel, "_KEEPALIVE_TIME_MS", 500)
    monkeypatch.setattr(_channel, "_KEEPALIVE_TIMEOUT_MS", 500)
    async with AsyncFeatureClient(pair.target) as client, asyncio.timeout(TIMEOUT_S):
        for name in pair.asked:
            while not pair.asked[name].is_set():
                await client.get_user_features(USER)
        pair.gateways["a"].process.send_signal(signal.SIGSTOP)
        in_a_row = 0
        while in_a_row < 20:
            try:
                await client.get_user_features(USER, timeout_s=0.2)
                in_a_row += 1
            except FeatureServingError:
                in_a_row = 0


@pytest.mark.parametrize("end", ["terminate", "kill"])
async def test_a_stream_goes_on_when_its_gateway_ends(pair: Pair, end: str) -> None:
    async with under_load(pair.target, Load.from_a_stream) as load:
        async with asyncio.TaskGroup() as group:
            waits = {name: group.create_task(event.wait()) for name, event in pair.asked.items()}
            await asyncio.wait(waits.values(), return_when=asyncio.FIRST_COMPLETED)
            # A stream is with one gateway, until that ends.
            (name,) = (name for name, wait in waits.items() if wait.done())
            getattr(pair.gateways[name].process, end)()
        await pair.gateways[name].process.wait()
        (other,) = pair.asked.keys() - {name}
        for _ in range(CALLERS):
            await pair.is_asked_anew(other)
    assert load.failures == []
    assert load.answered > CALLERS
