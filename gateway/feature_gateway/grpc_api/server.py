"""Opens the gRPC port, with the options of gRPC's server."""

import time
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2
from streamflow.features.feast.serving import ServingService_pb2
from streamflow.features.feast.serving.ServingService_pb2_grpc import add_ServingServiceServicer_to_server
from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.user_feature_service_pb2_grpc import add_UserFeatureServiceServicer_to_server

from feature_gateway.errors import StartError
from feature_gateway.grpc_api import leaving
from feature_gateway.grpc_api.feast_servicer import FeastServicer
from feature_gateway.grpc_api.health import Health
from feature_gateway.grpc_api.interceptors import ErrorInterceptor
from feature_gateway.grpc_api.reflection import SERVICES as REFLECTION_SERVICES
from feature_gateway.grpc_api.reflection import add_reflection
from feature_gateway.grpc_api.servicer import UserFeatureServicer
from feature_gateway.observer import Observer

_OURS = user_feature_service_pb2.DESCRIPTOR.services_by_name["UserFeatureService"]
_FEASTS = ServingService_pb2.DESCRIPTOR.services_by_name["ServingService"]

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]

SERVICES = (_OURS.full_name, _FEASTS.full_name, _HEALTH.full_name, *REFLECTION_SERVICES)
"""The full names of the services that the port has."""

METHODS = (*_OURS.methods_by_name, *_FEASTS.methods_by_name)
"""The names of the methods that are measured."""

_LEAVE_S = 1.0
_MAX_PENDING_CALLS = 100_000
_OPTIONS = (
    # Otherwise a second gateway on the same port starts without an error and takes half the calls.
    ("grpc.so_reuseport", 0),
    # Clients may ping as often as gRPC's own defaults allow without being cut off.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # gRPC ends calls beyond 1,000 that the event loop has not reached yet as CANCELLED, without a reason.
    ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
    # A connection whose client is gone, or takes nothing of it, is closed after 80 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # gRPC reads this option instead of the one above (https://github.com/grpc/grpc/pull/39239).
    ("grpc.http2.ping_timeout_ms", 20_000),
)


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """What connections may take."""

    max_connections: int
    max_calls: int
    """The calls and streams that one connection may have at once."""
    max_age_s: float
    """0 for any age."""
    age_grace_s: float
    """How long calls that are open at the age may take."""


@dataclass(frozen=True)
class GrpcServer:
    """A gRPC server that listens."""

    server: grpc.aio.Server
    host: str
    port: int
    shutdown_grace_s: float
    """How long calls in flight may take once the server ends."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.host}:{self.port}"

    async def ask_to_leave(self) -> None:
        """Have clients open new connections, elsewhere if a balancer says so; calls are still answered here."""
        await leaving.ask_to_leave(self.port)

    async def end(self) -> None:
        """Refuse new connections, have clients leave, and end the server within its grace time.

        Calls that arrive after gRPC's server has stopped end as CANCELLED. So it stops when no connection is left, or
        1 s after clients were asked to leave.
        """
        began_s = time.monotonic()
        leaving.refuse_connections(self.port)
        await leaving.ask_to_leave(self.port)
        await leaving.until_left(self.port, timeout_s=min(_LEAVE_S, self.shutdown_grace_s))
        await self.server.stop(max(0.0, self.shutdown_grace_s - (time.monotonic() - began_s)))


async def start_grpc(
    servicer: UserFeatureServicer,
    feast_servicer: FeastServicer,
    health: Health,
    observer: Observer,
    *,
    bind_address: str,
    port: int,
    limits: ConnectionLimits,
    shutdown_grace_s: float,
) -> GrpcServer:
    """Listen for gRPC, and return the server. Raises StartError when the port can't be used."""
    server = grpc.aio.server(interceptors=[ErrorInterceptor(observer)], options=_options(limits))
    add_UserFeatureServiceServicer_to_server(servicer, server)
    add_ServingServiceServicer_to_server(feast_servicer, server)
    health.add_to(server)
    add_reflection(server, (_OURS, _FEASTS, _HEALTH))
    try:
        bound_port = server.add_insecure_port(f"{bind_address}:{port}")
    except RuntimeError as error:
        raise StartError(
            f"{bind_address}:{port} can't be listened on: end what uses the port, or set GATEWAY_GRPC_PORT to another"
        ) from error
    await server.start()
    return GrpcServer(server, bind_address, bound_port, shutdown_grace_s)


def _options(limits: ConnectionLimits) -> tuple[tuple[str, int], ...]:
    bounds = (
        *_OPTIONS,
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.max_concurrent_streams", limits.max_calls),
    )
    if limits.max_age_s == 0:
        return bounds
    # A client that opens a new connection resolves the gateway's name again, and so finds gateways that were added.
    # What a connection has begun, streams too, ends on it within the grace.
    return (
        *bounds,
        ("grpc.max_connection_age_ms", round(limits.max_age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", round(limits.age_grace_s * 1000)),
    )
