"""The gateway in front of feature servers, and what bounds it."""

from collections.abc import Mapping, Sequence

from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_NULL_VALUE, FEATURE_STATUS_PRESENT
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesResponse

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.bed.data import FEATURE_SERVICE
from streamflow_loadtests.bench.server import Kind, Role, Server
from streamflow_loadtests.callers.calls import Values

_FAR_MS = 20


def gateway(name: str, bed: Bed, *, before: Sequence[Server], settings: Mapping[str, str], what: str) -> Server:
    """Start a gateway, with settings besides the stack's, in front of servers that run."""
    feature_servers = {process: role for server in before for process, role in server.roles.items()}
    port = bed.start_gateway(name, before=list(feature_servers), settings=settings)
    return Server(
        what=f"the gateway in front of {what}, `GetUserFeatures(feature_service: {FEATURE_SERVICE})`",
        kind=Kind.GATEWAY,
        port=port,
        roles={name: Role.GATEWAY, **feature_servers},
        answers=bed.dataset.answers,
    )


def far(bed: Bed, *, before: Server) -> Server:
    """Start a gateway with reads of four users, in front of a server 20 ms away: callers can exceed its capacity."""
    [feature_server] = before.roles
    bed.start_delay("delay", to=feature_server, delay_ms=_FAR_MS)
    port = bed.start_gateway("far", before=["delay"], settings={"GATEWAY_MAX_BATCH_SIZE": "4"})
    return Server(
        what=f"the gateway with reads of 4 users, in front of a feature server {_FAR_MS} ms away",
        kind=Kind.GATEWAY,
        port=port,
        roles={"far": Role.GATEWAY, "delay": Role.OTHER, **before.roles},
        answers=bed.dataset.answers,
    )


def echo(bed: Bed) -> Server:
    """Start a bare server with one constant reply, for the one user that it knows."""
    user_id = next(iter(bed.dataset.answers))
    reply = bed.work / "echo.bin"
    reply.write_bytes(_reply_of(user_id, bed.dataset.answers[user_id]).SerializeToString())
    return Server(
        what="the bound: a bare grpc.aio server that answers every GetUserFeatures with one constant reply",
        kind=Kind.ECHO,
        port=bed.start_module("echo", "streamflow_loadtests.bench.echo", str(reply)),
        roles={"echo": Role.OTHER},
        answers={user_id: bed.dataset.answers[user_id]},
    )


def _reply_of(user_id: str, values: Values) -> GetUserFeaturesResponse:
    reply = GetUserFeaturesResponse(contract_hash="sha256:" + 64 * "0")
    reply.user_features.user_id = user_id
    reply.user_features.user_known = True
    fields = {bool: "bool_value", int: "int64_value", float: "double_value", str: "string_value"}
    for name, value in values.items():
        status = FEATURE_STATUS_NULL_VALUE if value is None else FEATURE_STATUS_PRESENT
        feature = reply.user_features.features.add(name=name, status=status)
        feature.event_timestamp.GetCurrentTime()
        if value is not None:
            setattr(feature, fields[type(value)], value)
    return reply
