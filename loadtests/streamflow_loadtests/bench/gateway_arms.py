"""The gateway in front of feature servers of its own, and what bounds it, as arms."""

from collections.abc import Mapping
from dataclasses import replace

from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesResponse
from streamflow_local.config import StackConfig

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.bed.data import FEATURE_SERVICE
from streamflow_loadtests.bench.arm import Arm, Role
from streamflow_loadtests.callers.calls import ApiCaller, Values
from streamflow_loadtests.callers.gateway_api import GatewayGrpc

GATEWAY = "gateway"
"""The arm that the others are compared with."""

STACK = "stack"
"""The gateway in front of as many feature servers as `make up` starts."""

FAR = "far"
"""The gateway with reads of four users, in front of a feature server 20 ms away: callers can exceed its capacity."""

ECHO = "echo"
"""A bare server with one constant reply."""

_FAR_MS = 20


def gateway(bed: Bed) -> Arm:
    """Start GATEWAY: with one feature server, as the other arms have, since what stands in front of it is compared."""
    return before(1, bed, name=GATEWAY, suffix="", settings={})


def stacked(bed: Bed) -> Arm:
    """Start STACK."""
    replicas = StackConfig.of_environment({}).feature_server_replicas
    return before(replicas, bed, name=STACK, suffix="-of-stack", settings={})


def far(bed: Bed) -> Arm:
    """Start FAR."""
    arm = before(1, bed, name=FAR, suffix="-far", settings={"GATEWAY_MAX_BATCH_SIZE": "4"}, delay_ms=_FAR_MS)
    return replace(arm, what=f"the gateway with reads of 4 users, in front of a feature server {_FAR_MS} ms away")


def before(replicas: int, bed: Bed, *, name: str, suffix: str, settings: Mapping[str, str], delay_ms: int = 0) -> Arm:
    """Start a gateway with settings besides the stack's in front of feature servers; all names end in `suffix`."""
    servers = [f"feature-server{suffix}"]
    if replicas > 1:
        servers = [f"feature-server-{number}{suffix}" for number in range(1, replicas + 1)]
    roles = {GATEWAY + suffix: Role.GATEWAY, **dict.fromkeys(servers, Role.FEATURE_SERVER)}
    for server in servers:
        bed.start_feature_server(server)
    if delay_ms:
        bed.start_delay("delay", to=servers[0], delay_ms=delay_ms)
        servers, roles = ["delay"], {**roles, "delay": Role.OTHER}
    port = bed.start_gateway(GATEWAY + suffix, before=servers, settings=settings)
    count = "one feature server" if replicas == 1 else f"{replicas} feature servers"
    return Arm(
        name=name,
        what=f"the gateway, in front of {count} as the stack runs it, gRPC, "
        f"`GetUserFeatures(feature_service: {FEATURE_SERVICE})`, `BatchGetUserFeatures` for more users than one",
        roles=roles,
        caller=lambda channel: ApiCaller(GatewayGrpc(feature_service=FEATURE_SERVICE), channel(port)),
        answers=bed.dataset.answers,
    )


def echo(bed: Bed) -> Arm:
    """Start ECHO, which knows one user."""
    user_id = next(iter(bed.dataset.answers))
    reply = bed.work / "echo.bin"
    reply.write_bytes(_reply_of(user_id, bed.dataset.answers[user_id]).SerializeToString())
    port = bed.start_module(ECHO, "streamflow_loadtests.bench.echo", str(reply))
    return Arm(
        name=ECHO,
        what="the bound: a bare grpc.aio server that answers every GetUserFeatures with one constant reply",
        roles={ECHO: Role.OTHER},
        caller=lambda channel: ApiCaller(GatewayGrpc(feature_service=FEATURE_SERVICE), channel(port)),
        answers={user_id: bed.dataset.answers[user_id]},
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
