"""What is compared: each arm's processes, what is asked of them, and what they are to answer."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesResponse
from streamflow_local import ports, stack
from streamflow_local.config import StackConfig
from streamflow_local.process import ProcessSpec
from streamflow_offline.feast_store import FEATURE_REPO
from streamflow_repo.connections import JOB_REDIS_TIMEOUT_S, SERVING_REDIS_TIMEOUT_S

from streamflow_loadtests.callers import Caller, FeastGrpcCaller, GatewayCaller, HttpCaller
from streamflow_loadtests.data import FEATURE_SERVICE, Dataset, Values

GATEWAY = "gateway"
"""The arm that the others are compared with."""

DEFAULT_ARMS = ("stock", "tuned", "listen", GATEWAY)
STACK = "stack"
"""The gateway before as many feature servers as `make up` starts."""

FAR = "far"
"""The gateway with reads of four users, before a feature server 20 ms away: a capacity that its callers can exceed."""

ALL_ARMS = (*DEFAULT_ARMS, "echo", STACK, FAR)

_SIZED_GATEWAY = re.compile(r"gateway-([1-9]\d{0,5})(?:x([1-9]))?")
_BIN = Path(sys.executable).parent
_LISTEN_WORKERS = 10
_FAR_MS = 20


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to a user's features."""

    name: str

    what: str
    """The server and what it is asked, for a reader of the report."""

    processes: tuple[ProcessSpec, ...]
    """In the order in which they start."""

    caller: Callable[[], Caller]
    """Opens the connections; called within the event loop."""

    answers: Mapping[str, Values]
    """The users that it may be asked for, and what a right reply holds."""

    # Asked by hundreds of callers at once, Feast fails calls at the stack's own limit.
    redis_timeout_s: float = JOB_REDIS_TIMEOUT_S
    """How long its feature server waits for Redis."""


def exists(name: str) -> bool:
    """Return whether `make` knows the name: one of ALL_ARMS, or gateway-NxM for reads of up to N users, M at once."""
    return name in ALL_ARMS or _SIZED_GATEWAY.fullmatch(name) is not None


def make(name: str, dataset: Dataset, *, work: Path) -> Arm:
    """Return an arm by its name, on free ports; files of its own go into `work`."""
    sized = _SIZED_GATEWAY.fullmatch(name)
    if sized is None:
        return _MAKERS[name](dataset, work)
    settings = {"GATEWAY_MAX_BATCH_SIZE": sized[1], "GATEWAY_READS_PER_FEATURE_SERVER": sized[2] or "1"}
    return _gateway_before(1, dataset, work, name=name, suffix=name.removeprefix(GATEWAY), settings=settings)


def gateway_caller(arm: Arm) -> GatewayCaller:
    """Open the connections of an arm that is asked as the gateway is; raise TypeError for another."""
    caller = arm.caller()
    if not isinstance(caller, GatewayCaller):
        raise TypeError(f"{arm.name} is no gateway")
    return caller


def _stock(dataset: Dataset, _work: Path) -> Arm:
    port = ports.free_port()
    command = (str(_BIN / "feast"), "serve", "-h", "127.0.0.1", "-p", str(port))
    return Arm(
        name="stock",
        what=f"`feast serve` with its defaults, HTTP, `feature_service: {FEATURE_SERVICE}`",
        processes=(ProcessSpec(name="stock", command=command, directory=FEATURE_REPO, port=port),),
        caller=lambda: HttpCaller(port, {"feature_service": FEATURE_SERVICE}),
        answers=dataset.answers,
    )


def _tuned(dataset: Dataset, _work: Path) -> Arm:
    port = ports.free_port()
    ours = stack.feature_server(port)
    serve = ours.command.index("serve")
    return Arm(
        name="tuned",
        what="`feast serve` with the stack's flags: `PYTHONOPTIMIZE=1 … --max-requests 0`, HTTP, `features: […]`",
        # The flags are the stack's, the program and its online store Feast's own.
        processes=(replace(ours, name="tuned", command=(str(_BIN / "feast"), *ours.command[serve:])),),
        caller=lambda: HttpCaller(port, {"features": list(dataset.references)}),
        answers=dataset.answers,
    )


def _listen(dataset: Dataset, _work: Path) -> Arm:
    port = ports.free_port()
    command = (str(_BIN / "feast"), "listen", "-a", f"127.0.0.1:{port}", "-w", str(_LISTEN_WORKERS))
    return Arm(
        name="listen",
        what=f"`feast listen -w {_LISTEN_WORKERS}`, gRPC, `GetOnlineFeatures(feature_service: {FEATURE_SERVICE})`",
        processes=(ProcessSpec(name="listen", command=command, directory=FEATURE_REPO, port=port),),
        caller=lambda: FeastGrpcCaller(port),
        answers=dataset.answers,
    )


def _gateway(dataset: Dataset, work: Path) -> Arm:
    # One feature server, as the other arms have: the comparison is of what stands before it.
    return _gateway_before(1, dataset, work, name=GATEWAY, suffix="", settings={})


def _stack(dataset: Dataset, work: Path) -> Arm:
    replicas = StackConfig.of_environment({}).feature_server_replicas
    return _gateway_before(replicas, dataset, work, name=STACK, suffix="-of-stack", settings={})


def _far(dataset: Dataset, work: Path) -> Arm:
    settings = {"GATEWAY_MAX_BATCH_SIZE": "4"}
    near = _gateway_before(1, dataset, work, name=FAR, suffix="-far", settings=settings)
    server, gateway = near.processes
    port = ports.free_port()
    command = (sys.executable, "-m", "streamflow_loadtests.delay", str(port), str(server.port), str(_FAR_MS))
    there = {"GATEWAY_FEATURE_SERVER_URLS": f"http://127.0.0.1:{port}"}
    return replace(
        near,
        what=f"the gateway with reads of 4 users, before a feature server {_FAR_MS} ms away",
        processes=(
            server,
            ProcessSpec(name="delay", command=command, port=port),
            replace(gateway, environment={**gateway.environment, **there}),
        ),
    )


def _gateway_before(
    replicas: int, dataset: Dataset, work: Path, *, name: str, suffix: str, settings: Mapping[str, str]
) -> Arm:
    variables = ("GATEWAY_GRPC_PORT", "GATEWAY_HTTP_PORT", "REDIS_PORT")
    free = {variable: str(port) for variable, port in zip(variables, ports.free_ports(len(variables)), strict=True)}
    first = ports.free_ports_in_a_row(replicas)
    config = StackConfig.of_environment(
        {**free, "FEATURE_SERVER_PORT": str(first), "FEATURE_SERVER_REPLICAS": str(replicas)}
    )
    gateway = stack.gateway(config)
    contract = {"GATEWAY_CONTRACT_PATH": str(work / "contract.json")}
    servers = [
        replace(
            stack.feature_server(port), name=server.removesuffix("-1") + suffix if replicas == 1 else server + suffix
        )
        for server, port in config.feature_servers().items()
    ]
    count = "one feature server" if replicas == 1 else f"{replicas} feature servers"
    return Arm(
        name=name,
        what=f"the gateway, before {count} as the stack runs it, gRPC, "
        f"`GetUserFeatures(feature_service: {FEATURE_SERVICE})`",
        processes=(
            *servers,
            replace(gateway, name=GATEWAY + suffix, environment={**gateway.environment, **contract, **settings}),
        ),
        caller=lambda: GatewayCaller(config.gateway_grpc_port),
        answers=dataset.answers,
        redis_timeout_s=SERVING_REDIS_TIMEOUT_S,
    )


def _echo(dataset: Dataset, work: Path) -> Arm:
    port = ports.free_port()
    user_id = next(iter(dataset.answers))
    reply = work / "echo.bin"
    reply.write_bytes(_reply_of(user_id, dataset.answers[user_id]).SerializeToString())
    command = (sys.executable, "-m", "streamflow_loadtests.echo", str(port), str(reply))
    return Arm(
        name="echo",
        what="the bound: a bare grpc.aio server that answers every GetUserFeatures with one constant reply",
        processes=(ProcessSpec(name="echo", command=command, port=port),),
        caller=lambda: GatewayCaller(port),
        answers={user_id: dataset.answers[user_id]},
    )


_MAKERS: Mapping[str, Callable[[Dataset, Path], Arm]] = {
    "stock": _stock,
    "tuned": _tuned,
    "listen": _listen,
    GATEWAY: _gateway,
    "echo": _echo,
    STACK: _stack,
    FAR: _far,
}


def _reply_of(user_id: str, values: Values) -> GetUserFeaturesResponse:
    reply = GetUserFeaturesResponse(contract_hash="sha256:" + 64 * "0")
    reply.user_features.user_id = user_id
    reply.user_features.user_known = True
    fields = {bool: "bool_value", int: "int64_value", float: "double_value", str: "string_value"}
    for name, value in values.items():
        feature = reply.user_features.features.add(name=name)
        feature.event_timestamp.GetCurrentTime()
        if value is not None:
            setattr(feature, fields[type(value)], value)
    return reply
