"""The gateway before feature servers of its own, and what bounds it, as arms."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesResponse
from streamflow_local import ports, stack
from streamflow_local.config import StackConfig
from streamflow_local.process import ProcessSpec
from streamflow_repo.settings.connections import SERVING_REDIS_TIMEOUT_S

from streamflow_loadtests.bed.data import FEATURE_SERVICE, Dataset, Values
from streamflow_loadtests.bench.arm import Arm, Role
from streamflow_loadtests.callers.replies import GatewayCaller

GATEWAY = "gateway"
"""The arm that the others are compared with."""

STACK = "stack"
"""The gateway before as many feature servers as `make up` starts."""

FAR = "far"
"""The gateway with reads of four users, before a feature server 20 ms away: a capacity that its callers can exceed."""

ECHO = "echo"
"""A bare server with one constant reply."""

_FAR_MS = 20


def gateway(dataset: Dataset, work: Path) -> Arm:
    """Return the gateway before one feature server."""
    # One, as the other arms have: the comparison is of what stands before it.
    return before(1, dataset, work, name=GATEWAY, suffix="", settings={})


def stacked(dataset: Dataset, work: Path) -> Arm:
    """Return STACK."""
    replicas = StackConfig.of_environment({}).feature_server_replicas
    return before(replicas, dataset, work, name=STACK, suffix="-of-stack", settings={})


def far(dataset: Dataset, work: Path) -> Arm:
    """Return FAR."""
    settings = {"GATEWAY_MAX_BATCH_SIZE": "4"}
    near = before(1, dataset, work, name=FAR, suffix="-far", settings=settings)
    server, gateway = near.processes
    port = ports.free_port()
    command = (sys.executable, "-m", "streamflow_loadtests.bed.delay", str(port), str(server.port), str(_FAR_MS))
    there = {"GATEWAY_FEATURE_SERVER_URLS": f"http://127.0.0.1:{port}"}
    return replace(
        near,
        what=f"the gateway with reads of 4 users, before a feature server {_FAR_MS} ms away",
        processes=(
            server,
            ProcessSpec(name="delay", command=command, port=port),
            replace(gateway, environment={**gateway.environment, **there}),
        ),
        roles={**near.roles, "delay": Role.OTHER},
    )


def before(replicas: int, dataset: Dataset, work: Path, *, name: str, suffix: str, settings: Mapping[str, str]) -> Arm:
    """Return a gateway, with settings besides the stack's, before some feature servers; all names end in `suffix`."""
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
        f"`GetUserFeatures(feature_service: {FEATURE_SERVICE})`, `BatchGetUserFeatures` for more users than one",
        processes=(
            *servers,
            replace(gateway, name=GATEWAY + suffix, environment={**gateway.environment, **contract, **settings}),
        ),
        roles={GATEWAY + suffix: Role.GATEWAY, **{server.name: Role.FEATURE_SERVER for server in servers}},
        caller=lambda channel: GatewayCaller(channel(config.gateway_grpc_port)),
        answers=dataset.answers,
        redis_timeout_s=SERVING_REDIS_TIMEOUT_S,
    )


def echo(dataset: Dataset, work: Path) -> Arm:
    """Return ECHO, which knows one user."""
    port = ports.free_port()
    user_id = next(iter(dataset.answers))
    reply = work / "echo.bin"
    reply.write_bytes(_reply_of(user_id, dataset.answers[user_id]).SerializeToString())
    command = (sys.executable, "-m", "streamflow_loadtests.bench.echo", str(port), str(reply))
    return Arm(
        name=ECHO,
        what="the bound: a bare grpc.aio server that answers every GetUserFeatures with one constant reply",
        processes=(ProcessSpec(name=ECHO, command=command, port=port),),
        roles={ECHO: Role.OTHER},
        caller=lambda channel: GatewayCaller(channel(port)),
        answers={user_id: dataset.answers[user_id]},
    )


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
