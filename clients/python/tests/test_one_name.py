"""Gateways behind one name: calls spread over them, and none fails when one is killed and one is replaced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from both_faces import asking
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer
from gateway_pair import USER, Caller, Load, Pair, under_load
from gateway_process import TIMEOUT_S
from name_server import NAME, NameServer, name_server

_A, _B, _C, _D = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"


@pytest.fixture
async def names() -> AsyncIterator[NameServer]:
    async with name_server() as running:
        yield running


@pytest.fixture
async def pair(settings: Settings, feature_server: FakeFeatureServer, names: NameServer) -> AsyncIterator[Pair]:
    """Two gateways on one port of two addresses, as pods are."""
    async with asyncio.timeout(3 * TIMEOUT_S), AsyncExitStack() as stack:
        pair = Pair(replace(settings, drain_pause_s=0.5), feature_server, stack)
        feature_server.answer = pair.answer
        await pair.start("a", address=_A)
        await pair.start("b", address=_B, port=_port(pair))
        names.addresses = (_A, _B)
        yield pair


def _port(pair: Pair) -> int:
    return int(pair.gateways["a"].grpc.split(":")[1])


def _target(pair: Pair, names: NameServer) -> str:
    return f"dns://127.0.0.1:{names.port}/{NAME}:{_port(pair)}"


async def test_calls_spread_over_the_addresses_of_a_name(face: str, pair: Pair, names: NameServer) -> None:
    async with asking(face, _target(pair, names)) as ask:
        # In turns, unless a gateway of a busy machine is not SERVING for a moment.
        for _ in range(500):
            await ask("get_user_features", USER)
            await ask("batch_get_user_features", [USER])
            if min(pair.reads["a"], pair.reads["b"]) >= 25:
                break
    assert min(pair.reads["a"], pair.reads["b"]) >= 25
    assert names.questions > 0


@pytest.mark.slow
@pytest.mark.parametrize("caller", [Load.from_threads, Load.from_tasks, Load.from_a_stream])
async def test_no_call_fails_when_one_is_killed_and_one_is_replaced(
    pair: Pair, names: NameServer, caller: Caller
) -> None:
    # A stream is with one gateway.
    enough = asyncio.FIRST_COMPLETED if caller is Load.from_a_stream else asyncio.ALL_COMPLETED
    async with under_load(_target(pair, names), caller) as load:
        waits = [asyncio.ensure_future(pair.is_asked_anew(name)) for name in ("a", "b")]
        await asyncio.wait(waits, return_when=enough)
        pair.gateways["a"].process.kill()
        await pair.is_asked_anew("b")
        # As Kubernetes rolls a deployment: a new address is in the name before the old one ends.
        await pair.start("c", address=_C, port=_port(pair))
        names.addresses = (_B, _C)
        await pair.start("d", address=_D, port=_port(pair))
        names.addresses = (_C, _D)
        pair.gateways["b"].process.terminate()
        assert await pair.gateways["b"].process.wait() == 0
        waits = [asyncio.ensure_future(pair.is_asked_anew(name)) for name in ("c", "d")]
        await asyncio.wait(waits, return_when=enough)
    assert load.failures == []
    assert load.answered > 100
