"""Gateways behind one client, and calls without a pause."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, feast_answer, health_becomes
from gateway_process import TIMEOUT_S, GatewayProcess, gateway_process
from streamflow_features import AsyncFeatureClient, FeatureClient, FeatureServingError, Question
from streamflow_features._connection import ConnectionOptions

USER = "3413-BMNZE"
CALLERS = 8
SERVICE = "streamflow.features.v1.UserFeatureService"


@dataclass
class Load:
    """Calls without a pause from several callers, and what came of them."""

    target: str
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def note(self, failure: FeatureServingError | None) -> None:
        if failure is None:
            self.answered += 1
        else:
            self.failures.append(f"{failure.code.name}: {failure}")

    async def from_threads(self) -> None:
        with FeatureClient(self.target, timeout_s=TIMEOUT_S, **self.connection) as client:

            def call() -> None:
                while not self.enough.is_set():
                    try:
                        client.get_user_features(USER)
                    except FeatureServingError as error:
                        self.note(error)
                    else:
                        self.note(None)

            await asyncio.gather(*(asyncio.to_thread(call) for _ in range(CALLERS)))

    async def from_tasks(self) -> None:
        async with AsyncFeatureClient(self.target, timeout_s=TIMEOUT_S, **self.connection) as client:

            async def call() -> None:
                while not self.enough.is_set():
                    try:
                        await client.get_user_features(USER)
                    except FeatureServingError as error:
                        self.note(error)
                    else:
                        self.note(None)

            await asyncio.gather(*(call() for _ in range(CALLERS)))

    async def from_a_stream(self) -> None:
        async def questions() -> AsyncIterator[Question]:
            while not self.enough.is_set():
                yield Question(USER)

        async with AsyncFeatureClient(self.target, timeout_s=TIMEOUT_S, **self.connection) as client:
            async for answer in client.stream_user_features(questions(), max_in_flight=CALLERS):
                self.note(answer.result if isinstance(answer.result, FeatureServingError) else None)


Caller = Callable[[Load], Awaitable[None]]


@dataclass
class Pair:
    """Two gateways or more, told apart by the path under which they ask the feature server."""

    settings: Settings
    feature_server: FakeFeatureServer
    stack: AsyncExitStack
    gateways: dict[str, GatewayProcess] = field(default_factory=dict)
    asked: dict[str, asyncio.Event] = field(default_factory=lambda: {"a": asyncio.Event(), "b": asyncio.Event()})
    reads: Counter[str] = field(default_factory=Counter)
    """How often each gateway has asked the feature server."""

    @property
    def target(self) -> str:
        return "ipv4:" + ",".join(gateway.grpc for gateway in self.gateways.values())

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.split("/")[1]
        self.reads[name] += 1
        self.asked.setdefault(name, asyncio.Event()).set()
        return web.json_response(feast_answer(await request.json()))

    async def start(self, name: str, *, address: str = "127.0.0.1", port: int = 0) -> None:
        """Start a gateway, where it was before if it was, and return once it is ready."""
        before = self.gateways.get(name)
        settings = replace(
            self.settings,
            feature_server_urls=(f"{self.feature_server.url}/{name}",),
            bind_address=address,
            grpc_port=int(before.grpc.split(":")[1]) if before else port,
        )
        self.gateways[name] = await self.stack.enter_async_context(gateway_process(settings))
        async with grpc.aio.insecure_channel(self.gateways[name].grpc) as channel:
            await health_becomes(channel, "SERVING", SERVICE)

    async def is_asked_anew(self, name: str) -> None:
        """Return once the gateway has been asked by whoever puts it under load."""
        event = self.asked.setdefault(name, asyncio.Event())
        event.clear()
        await event.wait()


@asynccontextmanager
async def under_load(
    target: str, caller: Caller, *, connection: ConnectionOptions | None = None
) -> AsyncIterator[Load]:
    load = Load(target, connection or {})
    calls = asyncio.ensure_future(caller(load))
    try:
        yield load
    finally:
        load.enough.set()
        await calls
