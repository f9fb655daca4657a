"""Two gateways behind one client: one at a time is restarted, or killed, and no call fails."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, feast_answer, health_becomes
from gateway_process import TIMEOUT_S, GatewayProcess, gateway_process
from streamflow_features import AsyncFeatureClient, FeatureClient, FeatureServingError, Question, _channel

_USER = "3413-BMNZE"
_CALLERS = 8
_SERVICE = "streamflow.features.v1.UserFeatureService"


@dataclass
class Load:
    """Calls without a pause from several callers, and what came of them."""

    target: str
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def note(self, failure: FeatureServingError | None) -> None:
        if failure is None:
            self.answered += 1
        else:
            self.failures.append(f"{failure.code.name}: {failure}")

    async def from_threads(self) -> None:
        with FeatureClient(self.target, timeout_s=TIMEOUT_S) as client:

            def call() -> None:
                while not self.enough.is_set():
                    try:
                        client.get_user_features(_USER)
                    except FeatureServingError as error:
                        self.note(error)
                    else:
                        self.note(None)

            await asyncio.gather(*(asyncio.to_thread(call) for _ in range(_CALLERS)))

    async def from_tasks(self) -> None:
        async with AsyncFeatureClient(self.target, timeout_s=TIMEOUT_S) as client:

            async def call() -> None:
                while not self.enough.is_set():
                    try:
                        await client.get_user_features(_USER)
                    except FeatureServingError as error:
                        self.note(error)
                    else:
                        self.note(None)

            await asyncio.gather(*(call() for _ in range(_CALLERS)))

    async def from_a_stream(self) -> None:
        async def questions() -> AsyncIterator[Question]:
            while not self.enough.is_set():
                yield Question(_USER)

        async with AsyncFeatureClient(self.target, timeout_s=TIMEOUT_S) as client:
            async for answer in client.stream_user_features(questions(), max_in_flight=_CALLERS):
                self.note(answer.result if isinstance(answer.result, FeatureServingError) else None)


_Caller = Callable[[Load], Awaitable[None]]


@dataclass
class Pair:
    """Two gateways, told apart by the path under which they ask the feature server."""

    settings: Settings
    feature_server: FakeFeatureServer
    stack: AsyncExitStack
    gateways: dict[str, GatewayProcess] = field(default_factory=dict)
    asked: dict[str, asyncio.Event] = field(default_factory=lambda: {"a": asyncio.Event(), "b": asyncio.Event()})

    @property
    def target(self) -> str:
        return "ipv4:" + ",".join(gateway.grpc for gateway in self.gateways.values())

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[request.path.split("/")[1]].set()
        return web.json_response(feast_answer(await request.json()))

    async def start(self, name: str) -> None:
        """Start a gateway, where it was before if it was, and return once it is ready."""
        before = self.gateways.get(name)
        settings = replace(
            self.settings,
            feature_server_urls=(f"{self.feature_server.url}/{name}",),
            grpc_port=int(before.grpc.split(":")[1]) if before else 0,
        )
        self.gateways[name] = await self.stack.enter_async_context(gateway_process(settings))
        async with grpc.aio.insecure_channel(self.gateways[name].grpc) as channel:
            await health_becomes(channel, "SERVING", _SERVICE)

    async def is_asked_anew(self, name: str) -> None:
        """Return once the gateway has been asked by whoever puts it under load."""
        self.asked[name].clear()
        await self.asked[name].wait()


@pytest.fixture
async def pair(settings: Settings, feature_server: FakeFeatureServer) -> AsyncIterator[Pair]:
    async with asyncio.timeout(3 * TIMEOUT_S), AsyncExitStack() as stack:
        pair = Pair(replace(settings, drain_pause_s=0.5), feature_server, stack)
        feature_server.answer = pair.answer
        for name in pair.asked:
            await pair.start(name)
        yield pair


@asynccontextmanager
async def _under_load(pair: Pair, caller: _Caller) -> AsyncIterator[Load]:
    load = Load(pair.target)
    calls = asyncio.ensure_future(caller(load))
    try:
        yield load
    finally:
        load.enough.set()
        await calls


@pytest.mark.parametrize("caller", [Load.from_threads, Load.from_tasks])
async def test_a_rolling_restart_costs_no_call(pair: Pair, caller: _Caller) -> None:
    async with _under_load(pair, caller) as load:
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
async def test_a_gateway_that_ends_as_soon_as_the_other_is_ready_costs_no_call(pair: Pair, caller: _Caller) -> None:
    async with _under_load(pair, caller) as load:
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
async def test_a_gateway_that_is_killed_costs_no_call(pair: Pair, caller: _Caller) -> None:
    async with _under_load(pair, caller) as load:
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
                await client.get_user_features(_USER)
        pair.gateways["a"].process.send_signal(signal.SIGSTOP)
        in_a_row = 0
        while in_a_row < 20:
            try:
                await client.get_user_features(_USER, timeout_s=0.2)
                in_a_row += 1
            except FeatureServingError:
                in_a_row = 0


@pytest.mark.parametrize("end", ["terminate", "kill"])
async def test_a_stream_goes_on_when_its_gateway_ends(pair: Pair, end: str) -> None:
    async with _under_load(pair, Load.from_a_stream) as load:
        async with asyncio.TaskGroup() as group:
            waits = {name: group.create_task(event.wait()) for name, event in pair.asked.items()}
            await asyncio.wait(waits.values(), return_when=asyncio.FIRST_COMPLETED)
            # A stream is with one gateway, until that ends.
            (name,) = (name for name, wait in waits.items() if wait.done())
            getattr(pair.gateways[name].process, end)()
        await pair.gateways[name].process.wait()
        (other,) = pair.asked.keys() - {name}
        for _ in range(_CALLERS):
            await pair.is_asked_anew(other)
    assert load.failures == []
    assert load.answered > _CALLERS
