"""Gateways at loopback addresses that one name stands for."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
from aiohttp import web
from dns_names import DnsNames, serving_names
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, feast_answer, health_becomes
from gateway_process import GatewayProcess, gateway_process
from streamflow_local import ports

_SERVICE = "streamflow.features.v1.UserFeatureService"


@dataclass
class NamedGateways:
    """Gateways, told apart by the path under which they ask the feature server: their address."""

    settings: Settings
    feature_server: FakeFeatureServer
    names: DnsNames
    stack: AsyncExitStack
    running: dict[str, GatewayProcess] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    down: set[str] = field(default_factory=set)
    not_ready: set[str] = field(default_factory=set)
    _events: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def answer(self, request: web.Request) -> web.Response:
        address = request.path.split("/")[1]
        self.asked[address] += 1
        self._events[address].set()
        if address in self.down:
            return web.Response(status=503)
        return web.json_response(feast_answer(await request.json()))

    async def answer_canary(self, request: web.Request) -> web.Response:
        if request.path.split("/")[1] in self.down | self.not_ready:
            return web.Response(status=503)
        return web.json_response(feast_answer(await request.json()))

    async def start(self, address: str) -> None:
        """Start a gateway, and return once it is ready and the name stands for it too."""
        settings = replace(
            self.settings,
            bind_address=address,
            feature_server_urls=(f"{self.feature_server.url}/{address}",),
        )
        self.running[address] = await self.stack.enter_async_context(gateway_process(settings))
        await self.health_becomes(address, "SERVING")
        self.names.set(list(self.running))

    async def end(self, address: str) -> None:
        """End a gateway, which the name no longer stands for, in its own time."""
        gateway = self.running.pop(address)
        self.names.set(list(self.running))
        gateway.process.terminate()
        assert await gateway.process.wait() == 0

    async def health_becomes(self, address: str, status: str) -> None:
        async with grpc.aio.insecure_channel(self.running[address].grpc) as channel:
            await health_becomes(channel, status, _SERVICE)

    async def are_asked(self) -> None:
        """Return once each running gateway has been asked by whoever puts them under load."""
        for address in self.running:
            self._events[address].clear()
        for address in self.running:
            await self._events[address].wait()


@asynccontextmanager
async def named_gateways(
    settings: Settings, feature_server: FakeFeatureServer, folder: Path, *, addresses: tuple[str, ...]
) -> AsyncIterator[NamedGateways]:
    """Start gateways at these addresses for a block."""
    grpc_port, http_port = ports.free_ports(2)
    settings = replace(settings, grpc_port=grpc_port, http_port=http_port, drain_pause_s=0.5)
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(serving_names(folder))
        gateways = NamedGateways(settings, feature_server, names, stack)
        feature_server.answer, feature_server.canary_answer = gateways.answer, gateways.answer_canary
        for address in addresses:
            await gateways.start(address)
        yield gateways
