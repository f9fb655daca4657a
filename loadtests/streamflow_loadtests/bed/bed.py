"""What drills are done to: stores with data in them, two feature servers and a gateway, run as `make up` runs them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from streamflow_local import ports, postgres, stack, valkey
from streamflow_local.config import StackConfig
from streamflow_local.process import ProcessSpec
from streamflow_offline.materialize import materialize
from streamflow_repo.settings.connections import feast_environment

from streamflow_loadtests.bed import data
from streamflow_loadtests.bed.data import Dataset
from streamflow_loadtests.bed.servers import Servers, inherited
from streamflow_loadtests.callers.gateway import CallFailedError, PlainCaller

REGISTRY_REFRESH_S = 5
"""How often the drills' feature servers read the registry anew; the stack's do once a minute."""

GATEWAY = "gateway"

_log = logging.getLogger(__name__)
_STORE_TIMEOUT_S = 60.0
_SERVER_TIMEOUT_S = 90.0
_RETRY_S = 0.1


class DrillError(Exception):
    """There is nothing to drill: the message says what did not start, and why."""


@dataclass(frozen=True, kw_only=True)
class Bed:
    """A running stack, and what it is made of."""

    servers: Servers
    """Its processes: "postgres", "valkey", those of `feature_servers`, and "gateway"."""

    dataset: Dataset
    config: StackConfig
    postgres_url: str
    redis_url: str

    work: Path
    """The folder of all that it writes."""

    @property
    def feature_servers(self) -> list[str]:
        """The feature servers' names."""
        return list(self.config.feature_servers())

    @property
    def contract(self) -> Path:
        """The contract that its gateways answer by."""
        return self.work / "contract.json"

    @property
    def environment(self) -> Mapping[str, str]:
        """What feature_store.yaml reads, for feature servers."""
        return feast_environment(postgres_url=self.postgres_url, redis_url=self.redis_url)

    @property
    def supervisor_environment(self) -> Mapping[str, str]:
        """What a supervisor's processes are to inherit."""
        return {**inherited(), **self.environment}

    def start_gateway(self, name: str, *, settings: Mapping[str, str]) -> int:
        """Start one more gateway, on ports of its own, and return its gRPC port; `settings` add to the stack's."""
        grpc_port, http_port = ports.free_ports(2)
        own = {"GATEWAY_GRPC_PORT": str(grpc_port), "GATEWAY_HTTP_PORT": str(http_port), **settings}
        spec = gateway_spec(self.config, self.contract)
        self.servers.start(
            replace(
                spec,
                name=name,
                environment={**spec.environment, **own},
                port=grpc_port,
            )
        )
        return grpc_port

    async def metric(self, name: str, *, http_port: int | None = None) -> float:
        """Return a metric, by its name with its labels, of the stack's gateway or of the one on an HTTP port."""
        url = f"http://127.0.0.1:{http_port or self.config.gateway_http_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            text = await response.text()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))

    @asynccontextmanager
    async def ending(self, name: str) -> AsyncIterator[None]:
        """End a process that a drill has started for itself with the block."""
        try:
            yield
        finally:
            await asyncio.to_thread(self.servers.stop, name)


def feature_server_spec(name: str, port: int) -> ProcessSpec:
    """Return the stack's feature server, but for the pace of its registry."""
    spec = stack.feature_server(port, name=name)
    place = spec.command.index("--registry_ttl_sec") + 1
    command = (*spec.command[:place], str(REGISTRY_REFRESH_S), *spec.command[place + 1 :])
    return replace(spec, command=command)


def gateway_spec(config: StackConfig, contract: Path) -> ProcessSpec:
    """Return the stack's gateway, but for the contract, which a drill may change."""
    spec = stack.gateway(config)
    return replace(spec, environment={**spec.environment, "GATEWAY_CONTRACT_PATH": str(contract)})


@contextmanager
def bed(*, months: Path | None, work: Path, say: Callable[[str], None]) -> Iterator[Bed]:
    """Start everything, in and under `work` and on free ports, and end it after the block.

    Raises DrillError, JobError or TimeoutError.
    """
    variables = ("GATEWAY_GRPC_PORT", "GATEWAY_HTTP_PORT", "REDIS_PORT")
    free = {variable: str(port) for variable, port in zip(variables, ports.free_ports(len(variables)), strict=True)}
    config = StackConfig.of_environment({**free, "FEATURE_SERVER_PORT": str(ports.free_ports_in_a_row(2))})
    socket_dir = work / "postgres-socket"
    postgres_url, redis_url = postgres.url(socket_dir), valkey.url(config.redis_port)
    with Servers(work / "logs") as servers:
        say("starting PostgreSQL and Valkey")
        servers.start(postgres.prepare(work / "postgres", socket_dir))
        servers.start(valkey.prepare(work / "valkey", port=config.redis_port))
        postgres.wait_until_ready(postgres.url(socket_dir, "postgres"), timeout_s=_STORE_TIMEOUT_S)
        valkey.wait_until_ready(redis_url, timeout_s=_STORE_TIMEOUT_S)
        postgres.create_database(socket_dir)
        dataset = data.load(months=months, work=work, postgres_url=postgres_url, redis_url=redis_url, on_step=say)
        found = Bed(
            servers=servers,
            dataset=dataset,
            config=config,
            postgres_url=postgres_url,
            redis_url=redis_url,
            work=work,
        )
        say("starting the feature servers and the gateway, and materializing")
        for name, port in config.feature_servers().items():
            servers.start(feature_server_spec(name, port), environment=found.environment)
        servers.start(gateway_spec(config, found.contract))
        materialize(postgres_url=postgres_url, redis_url=redis_url, on_progress=_log.debug)
        yield found


async def wait_until_answered(bed: Bed, name: str, port: int) -> None:
    """Return once the gateway of a name and gRPC port answers. Raises DrillError when it does not."""
    deadline = time.monotonic() + _SERVER_TIMEOUT_S
    caller = PlainCaller(port)
    try:
        while True:
            try:
                await caller.ask(next(iter(bed.dataset.answers)), timeout_s=1.0)
            except CallFailedError as error:
                if not bed.servers.runs(name) or time.monotonic() > deadline:
                    log = (bed.servers.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
                    raise DrillError(f"{name} does not answer: {error}; its log ends\n{log[-1500:]}") from error
                await asyncio.sleep(_RETRY_S)
            else:
                return
    finally:
        await caller.close()
