"""Two gateways behind a TCP balancer are restarted one after the other, under clients of each kind: no call is lost."""

import asyncio
import json
import lzma
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import psutil
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
from tls_files import HOST, Certified

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
    contract = json.loads(_CONTRACT.read_text())
    views = contract["feature_views"] + contract["on_demand_feature_views"]
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
        settings = replace(self.settings, grpc_port=backend.grpc_port, admin_port=backend.http_port)
        gateway = await self.stack.enter_async_context(gateway_process(settings))
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{gateway.admin_url}/ready") as response:
                    if response.ok:
                        return gateway

    async def roll(self, restarts: int, *, ended: Callable[[], bool] = lambda: False) -> int:
        """Restart the gateways in turn, each when the balancer has seen that both are ready.

        A gateway's pause lasts until the balancer has seen that it drains. A pause of some time would be too short on a
        machine that is busy enough.

        Returns how often one was restarted: less often if the load `ended` first, as on a busy machine.
        """
        gateways = [await self.start(backend) for backend in self.backends]
        balancer = await self.stack.enter_async_context(balancing(self.backends))
        self.port = balancer.port
        self.started.set()
        for number in range(restarts):
            await _until(lambda: {*balancer.ready} == {*self.backends})
            if ended():
                return number
            place = number % 2
            leaving, process = self.backends[place], gateways[place].process
            process.terminate()
            await _until(partial(_without, balancer.ready, leaving))
            if self.settings.tls_cert_file is not None:
                # They reach their age, and none comes back.
                await _until(partial(_unconnected, process.pid, leaving.grpc_port))
            # The second signal cuts the pause short.
            process.terminate()
            assert await process.wait() == 0
            gateways[place] = await self.start(leaving)
        return restarts


def _unconnected(pid: int, port: int) -> bool:
    connections = psutil.Process(pid).net_connections("tcp")
    return not any(found.laddr[1] == port and found.status == psutil.CONN_ESTABLISHED for found in connections)


def _without(ready: Collection[Backend], backend: Backend) -> bool:
    return backend not in ready


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  # the balancer tells nobody
        await asyncio.sleep(0.01)


@asynccontextmanager
async def _pair(feature_server: FakeFeatureServer, *, timeout_s: float) -> AsyncIterator[Pair]:
    backends = [Backend(*ports.free_ports(2)) for _ in range(2)]
    settings = replace(gateway_settings(feature_server, _CONTRACT), canary_user_id=_USER)
    settings = replace(settings, drain_pause_s=timeout_s, drain_notice_s=timeout_s)
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
                    self.ended[f"{error.code().name}: {error.details()}"] += 1
                except FeatureServingError as error:
                    self.ended[f"{error.code.name}: {error}"] += 1
                else:
                    self.ended["OK"] += 1

        await asyncio.gather(*(caller() for _ in range(_CALLERS)))


@pytest.mark.slow
@pytest.mark.parametrize("direct", [False, True], ids=["balanced", "direct"])
@pytest.mark.parametrize("policy", [*_POLICIES, "FeatureClient"])
async def test_a_rolling_restart_costs_no_call_of_a_python_client(
    feature_server: FakeFeatureServer,
    policy: str,
    direct: bool,  # noqa: FBT001  # pytest's parameters
) -> None:
    async with _pair(feature_server, timeout_s=3 * TIMEOUT_S) as pair:
        ended = await _ended_while_rolled(pair, policy, direct=direct)
    assert set(ended) == {"OK"}
    assert ended["OK"] > 100


@pytest.mark.slow
@pytest.mark.parametrize("direct", [False, True], ids=["balanced", "direct"])
@pytest.mark.parametrize("policy", ["pick_first", "health", "FeatureClient"])
async def test_a_rolling_restart_with_tls_costs_no_call_where_the_pause_outlasts_connections(
    feature_server: FakeFeatureServer,
    tmp_path: Path,
    policy: str,
    direct: bool,  # noqa: FBT001  # pytest's parameters
) -> None:
    server = Certified(tmp_path / "server")
    async with _pair(feature_server, timeout_s=3 * TIMEOUT_S) as pair:
        # The balancer passes over a gateway that refuses connections.
        pair.settings = replace(server.serves(pair.settings), max_connection_age_s=0.3, drain_notice_s=0.0)
        ended = await _ended_while_rolled(pair, policy, direct=direct, credentials=server.channel_credentials())
    assert set(ended) == {"OK"}
    assert ended["OK"] > 100


async def _ended_while_rolled(
    pair: Pair, policy: str, *, direct: bool, credentials: grpc.ChannelCredentials | None = None
) -> Counter[str]:
    """How calls ended of a client that calls without a pause while each gateway is restarted."""
    # The certificate's name, for a target of several addresses too.
    name = [("grpc.ssl_target_name_override", HOST)] if credentials else []
    rolling = asyncio.create_task(pair.roll(2))
    await pair.started.wait()
    target = f"127.0.0.1:{pair.port}"
    if direct:
        target = "ipv4:" + ",".join(f"127.0.0.1:{backend.grpc_port}" for backend in pair.backends)
    ended = Counter[str]()
    async with AsyncExitStack() as stack:
        if policy == "FeatureClient":
            connecting = AsyncFeatureClient(target, timeout_s=TIMEOUT_S, credentials=credentials, options=name)
            client = await stack.enter_async_context(connecting)
            load = Load(lambda: client.get_user_features(_USER), ended)
        else:
            # gRPC's transparent retries stay on, as by default. Without them, a call that the client sends while it
            # reads a GOAWAY never leaves the client, and ends UNAVAILABLE.
            options = [
                ("grpc.service_config", json.dumps(_POLICIES[policy])),
                # The native engine refuses the list of addresses that gRPC would send.
                ("grpc.default_authority", HOST),
                # A gateway keeps its port here. By gRPC's default, a client that was refused while the gateway
                # started asks again after up to 5 s, when the other gateway may have left.
                ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
                ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
                *name,
            ]
            made = (
                grpc.aio.secure_channel(target, credentials, options=options)
                if credentials
                else grpc.aio.insecure_channel(target, options=options)
            )
            channel = await stack.enter_async_context(made)
            stub = UserFeatureServiceStub(channel)
            load = Load(lambda: stub.GetUserFeatures(_REQUEST, timeout=TIMEOUT_S), ended)
        calls = asyncio.create_task(load.run())
        await rolling
        load.enough = True
        await calls
    return ended


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
async def test_up_to_ten_restarts_behind_a_balancer_cost_no_call_of_a_go_client(
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
        restarts = await rolling
        output = (await caller.communicate())[0].decode()
    assert output.rstrip().endswith("errors map[]"), output
    assert int(re.findall(r" (\d+) calls/s", output)[0]) > 0
    assert restarts >= len(pair.backends)
