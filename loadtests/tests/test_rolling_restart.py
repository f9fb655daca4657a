"""Two gateways behind a TCP balancer are restarted one after the other, under clients of each kind: no call is lost."""

import asyncio
import json
import lzma
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, feast_answer, gateway_settings, running_feature_server
from gateway_process import TIMEOUT_S, GatewayProcess, gateway_process
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub
from streamflow_features import AsyncFeatureClient, FeatureServingError
from streamflow_loadtests.bed.balancer import Backend, balancing
from streamflow_local import ports

_ROOT = Path(__file__).parents[2]
_CONTRACT = _ROOT / "feature_repo" / "contract.json"
_GO_CALLER = Path(os.environ.get("GO_CALLER", _ROOT.parent / "shared" / "peers" / "go-caller.xz"))
_CALLERS = 16
_RECONNECT_MS = 100
_USER = "3413-BMNZE"
_REQUEST = GetUserFeaturesRequest(user_id=_USER)
_VALUES = {"Int64": 1, "Float64": 1.5, "Bool": True, "String": "DSL"}

_ROUND_ROBIN: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
_POLICIES: dict[str, dict[str, Any]] = {
    "pick_first": {},
    "round_robin": _ROUND_ROBIN,
    "health": {**_ROUND_ROBIN, "healthCheckConfig": {"serviceName": ""}},
}


@pytest.fixture
async def feature_server() -> AsyncIterator[FakeFeatureServer]:
    """Answers for the features of this repository."""
    views = json.loads(_CONTRACT.read_text())["feature_views"]
    values = {
        f"{view['name']}__{feature['name']}": _VALUES[feature["dtype"]]
        for view in views
        for feature in view["features"]
    }

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(feast_answer(await request.json(), values=values))

    async with running_feature_server() as fake:
        fake.answer = fake.canary_answer = answer
        yield fake


@dataclass
class Pair:
    """Two gateways on ports that stay, and the balancer's port in front of them."""

    settings: Settings
    backends: tuple[Backend, Backend]
    stack: AsyncExitStack
    port: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, backend: Backend) -> GatewayProcess:
        """Start a gateway, and return once it is ready."""
        settings = replace(self.settings, grpc_port=backend.grpc_port, http_port=backend.http_port)
        gateway = await self.stack.enter_async_context(gateway_process(settings))
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{gateway.http_url}/ready") as response:
                    if response.ok:
                        return gateway

    async def roll(self, restarts: int, *, ended: Callable[[], bool] = lambda: False) -> None:
        """Restart the gateways in turn, each when the balancer has had time to see that the other is ready."""
        gateways = [await self.start(backend) for backend in self.backends]
        self.port = await self.stack.enter_async_context(balancing(self.backends))
        self.started.set()
        for number in range(restarts):
            await asyncio.sleep(0.3)
            assert not ended()
            place = number % 2
            gateways[place].process.terminate()
            assert await gateways[place].process.wait() == 0
            gateways[place] = await self.start(self.backends[place])


@asynccontextmanager
async def _pair(feature_server: FakeFeatureServer, *, timeout_s: float) -> AsyncIterator[Pair]:
    backends = [Backend(*ports.free_ports(2)) for _ in range(2)]
    settings = replace(gateway_settings(feature_server, _CONTRACT), canary_user_id=_USER, drain_pause_s=1.0)
    async with asyncio.timeout(timeout_s), AsyncExitStack() as stack:
        yield Pair(settings, (backends[0], backends[1]), stack)


@dataclass
class Load:
    """Calls without a pause from several callers, until it is enough."""

    call: Callable[[], Awaitable[object]]
    ended: Counter[str]
    enough: bool = False

    async def run(self) -> None:
        async def caller() -> None:
            while not self.enough:
                try:
                    await self.call()
                except grpc.aio.AioRpcError as error:
                    self.ended[error.code().name] += 1
                except FeatureServingError as error:
                    self.ended[error.code.name] += 1
                else:
                    self.ended["OK"] += 1

        await asyncio.gather(*(caller() for _ in range(_CALLERS)))


@pytest.mark.parametrize("direct", [False, True], ids=["balanced", "direct"])
@pytest.mark.parametrize(
    "policy", [*(pytest.param(policy, marks=pytest.mark.slow) for policy in _POLICIES), "FeatureClient"]
)
async def test_a_rolling_restart_costs_no_call_of_a_python_client(
    feature_server: FakeFeatureServer,
    policy: str,
    direct: bool,  # noqa: FBT001  # pytest's parameters
) -> None:
    async with _pair(feature_server, timeout_s=3 * TIMEOUT_S) as pair:
        rolling = asyncio.create_task(pair.roll(2))
        await pair.started.wait()
        target = f"127.0.0.1:{pair.port}"
        if direct:
            target = "ipv4:" + ",".join(f"127.0.0.1:{backend.grpc_port}" for backend in pair.backends)
        ended = Counter[str]()
        async with AsyncExitStack() as stack:
            if policy == "FeatureClient":
                client = await stack.enter_async_context(AsyncFeatureClient(target, timeout_s=TIMEOUT_S))
                load = Load(lambda: client.get_user_features(_USER), ended)
            else:
                options = [
                    ("grpc.service_config", json.dumps(_POLICIES[policy])),
                    # Tries nothing twice.
                    ("grpc.enable_retries", 0),
                    # A gateway keeps its port here. By gRPC's default, a client that was refused while the gateway
                    # started asks again after up to 5 s, when the other gateway may have left.
                    ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
                    ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
                ]
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options))
                stub = UserFeatureServiceStub(channel)
                load = Load(lambda: stub.GetUserFeatures(_REQUEST, timeout=TIMEOUT_S), ended)
            calls = asyncio.create_task(load.run())
            await rolling
            load.enough = True
            await calls
    assert set(ended) == {"OK"}
    assert ended["OK"] > 100


@pytest.fixture
def go_caller(tmp_path: Path) -> Sequence[str]:
    """The command of a Go program whose callers call without a pause, and the users it asks for."""
    program, users = tmp_path / "go-caller", tmp_path / "users.txt"
    program.write_bytes(lzma.decompress(_GO_CALLER.read_bytes()))
    program.chmod(0o700)
    users.write_text("\n".join(f"{number:04d}-AAAAA" for number in range(500)))
    return str(program), "-users", str(users)


@pytest.mark.slow
@pytest.mark.skipif(not _GO_CALLER.exists(), reason="GO_CALLER names no Go caller")
@pytest.mark.parametrize("policy", _POLICIES)
async def test_ten_restarts_behind_a_balancer_cost_no_call_of_a_go_client(
    feature_server: FakeFeatureServer, policy: str, go_caller: Sequence[str]
) -> None:
    async with _pair(feature_server, timeout_s=280) as pair:
        caller: asyncio.subprocess.Process | None = None
        rolling = asyncio.create_task(pair.roll(10, ended=lambda: caller is not None and caller.returncode is not None))
        await pair.started.wait()
        caller = await asyncio.create_subprocess_exec(
            *go_caller,
            *("-addr", f"127.0.0.1:{pair.port}", "-c", str(_CALLERS), "-d", "75s", "-w", "0s"),
            *("-sc", json.dumps(_POLICIES[policy])),
            stdout=asyncio.subprocess.PIPE,
        )
        await rolling
        output = (await caller.communicate())[0].decode()
    assert output.rstrip().endswith("errors map[]"), output
    assert int(re.findall(r" (\d+) calls/s", output)[0]) > 0
