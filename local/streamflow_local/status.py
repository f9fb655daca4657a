"""`make status`: each process with its pid, its port and its health."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

import grpc
import psycopg
import redis
from streamflow_features import FeatureClient, FeatureServingError
from streamflow_offline.grant.job import Role
from streamflow_repo.settings.postgres_url import open_postgres
from streamflow_repo.settings.redis_url import open_redis

from streamflow_local.accounts import connections
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.probe import Probe
from streamflow_local.secure import client_options, gateway_channel
from streamflow_local.supervisor import Supervisor

CANARY_USER_ID = "3413-BMNZE"
"""A user of every StreamFlow data set. Health checks read this user's features; any answer is healthy."""

_TIMEOUT_S = 2.0
_CANARY_READ: Mapping[str, object] = {
    "features": ["subs_profile_fv:months_active"],
    "entities": {"user_id": [CANARY_USER_ID]},
}


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """The status of one process."""

    name: str
    state: str
    pid: int | None
    port: int | None
    healthy: bool

    detail: str
    """Why the process is not healthy; empty if it is healthy."""

    log: str


@dataclass(frozen=True, kw_only=True)
class StackStatus:
    """The status of a stack."""

    running: bool
    """Whether the stack's supervisor runs."""

    processes: tuple[ProcessStatus, ...]
    """In the order in which they start; empty if the stack does not run."""

    @property
    def healthy(self) -> bool:
        """Whether the stack runs and all its processes are healthy."""
        return self.running and all(process.healthy for process in self.processes)

    def as_json(self) -> dict[str, object]:
        """Return the status for programs."""
        return {**asdict(self), "healthy": self.healthy}


def status(layout: Layout) -> StackStatus:
    """Return the status of the stack in a layout."""
    supervisor = Supervisor(layout)
    if not supervisor.running:
        return StackStatus(running=False, processes=())
    config = StackConfig.load(layout)
    ports = config.process_ports()
    processes = []
    # supervisord lists processes by name.
    order = ["postgres", *ports]
    for process in sorted(supervisor.processes(), key=lambda process: order.index(process.name)):
        reason = failure_of(process.name, config, layout) if process.pid else process.state.lower()
        processes.append(
            ProcessStatus(
                name=process.name,
                state=process.state,
                pid=process.pid,
                port=ports.get(process.name),
                healthy=reason is None,
                detail=reason or "",
                log=str(process.log),
            )
        )
    return StackStatus(running=True, processes=tuple(processes))


def failure_of(name: str, config: StackConfig, layout: Layout) -> str | None:
    """Return None if a process is healthy, otherwise the reason in one line."""
    try:
        if name == "postgres":
            with open_postgres(config.postgres_url(layout), timeout_s=int(_TIMEOUT_S)) as connection:
                connection.execute("SELECT 1")
        elif name == "valkey":
            with open_redis(connections(config, layout, Role.JOBS).redis_url, timeout_s=_TIMEOUT_S) as client:
                client.ping()
        elif name == "gateway" and config.feature_repo:
            with gateway_channel(config, layout) as channel:
                Probe.load(layout.repository_probe).ask(channel, timeout_s=_TIMEOUT_S)
        elif name == "gateway":
            # The call goes to the gateway even if it is not ready: its answer then says what is wrong.
            target = f"127.0.0.1:{config.gateway_grpc_port}"
            options = client_options(config, layout)
            with FeatureClient(target, timeout_s=_TIMEOUT_S, follow_health=False, **options) as client:
                client.get_user_features(CANARY_USER_ID)
        else:
            probed = Probe.load(layout.repository_probe).body() if config.feature_repo else _CANARY_READ
            return _feature_server_failure(config.feature_servers()[name], probed)
    except FeatureServingError as error:
        return f"{error.code.name}: {error}"
    except grpc.RpcError as error:
        # What a stub raises is a grpc.Call too.
        call: Any = error
        return f"{call.code().name}: {call.details()}"
    except (psycopg.Error, redis.RedisError, OSError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _feature_server_failure(port: int, body: Mapping[str, object]) -> str | None:
    """Read features: Feast's own /health answers 200 even if both stores are down."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/get-online-features",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310  # http by construction
            return None if response.status == HTTPStatus.OK else f"answered {response.status}"
    except urllib.error.HTTPError as error:
        with error:
            return f"answered {error.code}: {error.read(200).decode(errors='replace')}"
