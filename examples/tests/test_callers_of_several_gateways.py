"""Callers in other languages of two gateways behind one name: one is restarted, replaced, killed or not healthy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from caller_load import ANSWERED, CALLS_AT_ONCE, Load, under_load
from dns_names import NAME
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer
from languages import Language
from named_gateways import NamedGateways, named_gateways

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_TIMEOUT_S = 240
_FIRST, _SECOND = "127.0.0.2", "127.0.0.3"
_REPLACED_BY = {_FIRST: "127.0.0.4", _SECOND: "127.0.0.5"}


@pytest.fixture
async def gateways(
    settings: Settings, feature_server: FakeFeatureServer, tmp_path: Path
) -> AsyncIterator[NamedGateways]:
    addresses = (_FIRST, _SECOND)
    async with named_gateways(settings, feature_server, tmp_path, addresses=addresses) as running:
        yield running


@asynccontextmanager
async def _loaded(built_caller: Language, gateways: NamedGateways, *, costs_calls: bool = False) -> AsyncIterator[Load]:
    """Load for a block, during which both gateways are asked; none of the calls may fail unless it `costs_calls`."""
    target, variables = built_caller.named(
        NAME, gateways.settings.grpc_port, dns_port=gateways.names.port, hosts=gateways.names.hosts
    )
    variables = {**variables, "STREAMFLOW_FEATURES_TIMEOUT_S": "60"}
    async with (
        asyncio.timeout(_TIMEOUT_S),
        under_load([*built_caller.command(), target], variables, user="3413-BMNZE") as load,
    ):
        await gateways.are_asked()
        yield load
        await gateways.are_asked()
    if not costs_calls:
        assert set(load.ended) == {ANSWERED}


async def test_gateways_that_are_restarted_in_turn_cost_no_call(
    built_caller: Language, gateways: NamedGateways
) -> None:
    async with _loaded(built_caller, gateways):
        for address in (_FIRST, _SECOND):
            await gateways.are_asked()
            process = gateways.running[address].process
            process.terminate()
            assert await process.wait() == 0
            await gateways.start(address)


async def test_gateways_that_are_replaced_by_others_cost_no_call(
    built_caller: Language, gateways: NamedGateways
) -> None:
    async with _loaded(built_caller, gateways):
        for address, other in _REPLACED_BY.items():
            await gateways.start(other)
            await gateways.end(address)
            await gateways.are_asked()


async def test_a_gateway_that_is_killed_costs_no_call(built_caller: Language, gateways: NamedGateways) -> None:
    async with _loaded(built_caller, gateways) as load:
        for address in (_FIRST, _SECOND):
            await gateways.are_asked()
            process = gateways.running[address].process
            process.kill()
            await process.wait()
            await load.more(100)
            await gateways.start(address)


async def test_a_gateway_whose_feature_server_is_down_costs_calls_for_a_moment(
    built_caller: Language, gateways: NamedGateways
) -> None:
    async with _loaded(built_caller, gateways, costs_calls=True) as load:
        gateways.down.add(_SECOND)
        await gateways.health_becomes(_SECOND, "NOT_SERVING")
        await load.more(CALLS_AT_ONCE)
        await load.answered_in_a_row(500)
        gateways.down.clear()


async def test_a_gateway_that_is_not_healthy_is_passed_over_where_grpc_can(
    built_caller: Language, gateways: NamedGateways
) -> None:
    async with _loaded(built_caller, gateways) as load:
        gateways.not_ready.add(_SECOND)
        await gateways.health_becomes(_SECOND, "NOT_SERVING")
        if built_caller.follows_health:
            asked = -1
            while asked != gateways.asked[_SECOND]:
                asked = gateways.asked[_SECOND]
                await load.more(100)
        else:
            # gRPC for Node.js does not ask for health. The README says so.
            await load.more(100)
            asked = gateways.asked[_SECOND]
            await load.more(100)
            assert gateways.asked[_SECOND] > asked
        gateways.not_ready.clear()
