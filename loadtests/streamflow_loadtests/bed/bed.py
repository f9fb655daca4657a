"""A bed of servers: stores with data in them, and the processes in front of them, run as `make up` runs them."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from streamflow_local import ports, postgres, stack, valkey
from streamflow_local.config import StackConfig
from streamflow_local.process import ProcessSpec
from streamflow_offline.materialize.job import materialize
from streamflow_repo.settings.connections import SERVING_REDIS_TIMEOUT_S, feast_environment

from streamflow_loadtests.bed import data
from streamflow_loadtests.bed.data import FEATURE_SERVICE, Dataset
from streamflow_loadtests.bed.servers import Servers, inherited
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.grpc_stubs import GatewayStub

GATEWAY = "gateway"
VALKEY = "valkey"
POSTGRES = "postgres"
FEATURE_SERVERS = ("feature-server-1", "feature-server-2")
"""The names of the processes of `stack_bed`."""

REGISTRY_REFRESH_S = 5
"""How often the feature servers of `stack_bed` read the registry; those of `make up` do once a minute."""

_log = logging.getLogger(__name__)
_STORE_TIMEOUT_S = 60.0
_SERVER_TIMEOUT_S = 90.0
_CALL_TIMEOUT_S = 30.0
_RETRY_S = 0.1

# The one variable of a gateway that is taken from this process.
_ENGINE = "GATEWAY_GRPC_ENGINE"


class BedError(Exception):
    """There is nothing to measure: the message says what did not start, and why."""


@dataclass(frozen=True, kw_only=True)
class Bed:
    """Running stores, their data, and what was started in front of them."""

    servers: Servers
    """All processes, by name: POSTGRES, VALKEY, and those that were started since."""

    dataset: Dataset
    postgres_url: str
    redis_url: str

    work: Path
    """The folder of all that the bed writes."""

    _http_ports: dict[str, int] = field(default_factory=dict)

    @property
    def contract(self) -> Path:
        """The contract that the gateways answer by."""
        return self.work / "contract.json"

    def environment(self, *, redis_timeout_s: float = SERVING_REDIS_TIMEOUT_S) -> Mapping[str, str]:
        """Return what feature_store.yaml reads, for feature servers."""
        return feast_environment(
            postgres_url=self.postgres_url, redis_url=self.redis_url, redis_timeout_s=redis_timeout_s
        )

    @property
    def supervisor_environment(self) -> Mapping[str, str]:
        """What a supervisor's processes are to inherit."""
        return {**inherited(), **self.environment()}

    def materialize(self) -> None:
        """Write the newest features to Valkey."""
        materialize(postgres_url=self.postgres_url, redis_url=self.redis_url, on_progress=_log.debug)

    def start_feature_server(self, name: str, *, registry_refresh_s: int | None = None) -> int:
        """Start a feature server of the stack on a free port, and return the port."""
        spec = stack.feature_server(ports.free_port(), name=name)
        if registry_refresh_s is not None:
            place = spec.command.index("--registry_ttl_sec") + 1
            spec = replace(spec, command=(*spec.command[:place], str(registry_refresh_s), *spec.command[place + 1 :]))
        self.servers.start(spec, environment=self.environment())
        return self.servers.port(name)

    def start_gateway(
        self,
        name: str = GATEWAY,
        *,
        before: Sequence[str] = FEATURE_SERVERS,
        settings: Mapping[str, str] | None = None,
        hosts: Path | None = None,
    ) -> int:
        """Start a gateway in front of the processes named in `before`, on free ports, and return its gRPC port.

        `settings` are environment variables besides the stack's. `hosts` is a file that the gateway, and no other
        process, has as its /etc/hosts, which takes Linux and the right to mount.
        """
        grpc_port, http_port = ports.free_ports(2)
        spec = stack.gateway(StackConfig.of_environment({}))
        command = spec.command if hosts is None else _with_hosts(hosts, spec.command)
        environment = {
            **spec.environment,
            "GATEWAY_GRPC_PORT": str(grpc_port),
            "GATEWAY_HTTP_PORT": str(http_port),
            "GATEWAY_FEATURE_SERVER_URLS": ",".join(
                f"http://127.0.0.1:{self.servers.port(server)}" for server in before
            ),
            "GATEWAY_CONTRACT_PATH": str(self.contract),
            **{name: value for name, value in os.environ.items() if name == _ENGINE},
            **(settings or {}),
        }
        self.servers.start(replace(spec, name=name, command=command, environment=environment, port=grpc_port))
        self._http_ports[name] = http_port
        return grpc_port

    def start_delay(
        self, name: str, *, to: str, delay_ms: int, host: str = "127.0.0.1", port: int | None = None
    ) -> int:
        """Start what stands for process `to` some milliseconds away, and return its port: a free one by default."""
        arguments = (str(self.servers.port(to)), str(delay_ms), host)
        return self.start_module(name, "streamflow_loadtests.bed.delay", *arguments, port=port)

    def start_balancer(self, name: str, *, to: Sequence[str]) -> None:
        """Start a TCP balancer that gives new connections to those of the gateways `to` that are ready."""
        ports_of = [str(port) for gateway in to for port in (self.servers.port(gateway), self._http_ports[gateway])]
        self.start_module(name, "streamflow_loadtests.bed.balancer", *ports_of)

    def start_module(self, name: str, module: str, *arguments: str, port: int | None = None) -> int:
        """Start a module of this package with a port as its first argument, a free one by default; return the port."""
        port = port or ports.free_port()
        self.servers.start(
            ProcessSpec(name=name, command=(sys.executable, "-m", module, str(port), *arguments), port=port)
        )
        return port

    def gateway_caller(self, name: str = GATEWAY) -> GatewayStub:
        """Return calls of a gateway by grpc.aio. Use it within the event loop, and close it."""
        return GatewayStub(self.servers.port(name), feature_service=FEATURE_SERVICE)

    def http_address(self, gateway: str = GATEWAY) -> str:
        """Return HOST:PORT of a gateway's HTTP port, which has its metrics."""
        return f"127.0.0.1:{self._http_ports[gateway]}"

    def http_addresses(self) -> list[str]:
        """Return HOST:PORT of the HTTP ports of all gateways that run."""
        return [self.http_address(name) for name in self._http_ports]

    @contextmanager
    def with_gateway(self, name: str, *, http_port: int) -> Iterator[None]:
        """Have a gateway that something else has started among the bed's, for the length of the block."""
        self._http_ports[name] = http_port
        try:
            yield
        finally:
            del self._http_ports[name]

    async def metric(self, metric: str, *, gateway: str = GATEWAY) -> float:
        """Return a metric of a gateway, by the metric's name with its labels."""
        url = f"http://{self.http_address(gateway)}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            text = await response.text()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{metric} "))

    @asynccontextmanager
    async def ending(self, *names: str) -> AsyncIterator[None]:
        """End processes with the block, the last one first."""
        try:
            yield
        finally:
            for name in reversed(names):
                await asyncio.to_thread(self.servers.stop, name)
                self._http_ports.pop(name, None)

    @asynccontextmanager
    async def asking(self, name: str = GATEWAY) -> AsyncIterator[GatewayStub]:
        """Yield calls of a gateway that has answered. Raises BedError when it does not answer."""
        caller = self.gateway_caller(name)
        try:
            await wait_until_answered(caller, next(iter(self.dataset.answers)), self.servers, [name])
            yield caller
        finally:
            await caller.close()


@contextmanager
def bed(*, months: Path | None, work: Path, say: Callable[[str], None]) -> Iterator[Bed]:
    """Start PostgreSQL and Valkey, in and under `work` and on free ports, and load the data; end all after the block.

    Nothing is materialized yet. Raises JobError or TimeoutError.
    """
    redis_port = ports.free_port()
    socket_dir = work / "postgres-socket"
    postgres_url, redis_url = postgres.url(socket_dir), valkey.url(redis_port)
    with Servers(work / "logs") as servers:
        say("starting PostgreSQL and Valkey")
        servers.start(postgres.prepare(work / "postgres", socket_dir))
        servers.start(valkey.prepare(work / "valkey", port=redis_port))
        postgres.wait_until_ready(postgres.url(socket_dir, "postgres"), timeout_s=_STORE_TIMEOUT_S)
        valkey.wait_until_ready(redis_url, timeout_s=_STORE_TIMEOUT_S)
        postgres.create_database(socket_dir)
        dataset = data.load(months=months, work=work, postgres_url=postgres_url, redis_url=redis_url, on_step=say)
        yield Bed(servers=servers, dataset=dataset, postgres_url=postgres_url, redis_url=redis_url, work=work)


@contextmanager
def stack_bed(*, months: Path | None, work: Path, say: Callable[[str], None]) -> Iterator[Bed]:
    """Start a bed with FEATURE_SERVERS and GATEWAY, and materialize; end all after the block.

    The gateway may not answer yet. Raises JobError or TimeoutError.
    """
    with bed(months=months, work=work, say=say) as found:
        say("starting the feature servers and the gateway, and materializing")
        for name in FEATURE_SERVERS:
            found.start_feature_server(name, registry_refresh_s=REGISTRY_REFRESH_S)
        found.start_gateway()
        found.materialize()
        yield found


def _with_hosts(hosts: Path, command: Sequence[str]) -> tuple[str, ...]:
    mount = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(hosts), *command)


async def wait_until_answered(caller: Caller, user_id: str, servers: Servers, names: Sequence[str]) -> None:
    """Return once a call is answered. Raises BedError when none is, or one of the processes `names` has ended."""
    deadline = time.monotonic() + _SERVER_TIMEOUT_S
    while True:
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                await caller.ask([user_id], timeout_s=_CALL_TIMEOUT_S)
        except (CallError, TimeoutError) as error:
            ended = [name for name in names if not servers.runs(name)]
            if ended or time.monotonic() > deadline:
                reason = f"{ended[0]} has ended" if ended else f"no answer in {_SERVER_TIMEOUT_S:g} s: {error}"
                ends = "\n".join(f"{name}.log ends\n{servers.log_end(name)}" for name in names)
                raise BedError(f"{', '.join(names)} did not start: {reason}; {ends}") from error
            await asyncio.sleep(_RETRY_S)
        else:
            return
