"""Opens the gRPC port."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2

from feature_gateway.access.gate import Gate
from feature_gateway.errors import StartError
from feature_gateway.grpc_api import leaving
from feature_gateway.grpc_api.connection_keeper import ConnectionKeeper
from feature_gateway.grpc_api.connection_limits import ConnectionLimits
from feature_gateway.grpc_api.direct_calls import METHOD as DIRECT_METHOD
from feature_gateway.grpc_api.direct_calls import DirectCalls
from feature_gateway.grpc_api.feast_servicer import FeastServicer
from feature_gateway.grpc_api.grpcio_engine import grpcio_server
from feature_gateway.grpc_api.guard import Guard
from feature_gateway.grpc_api.health import Health
from feature_gateway.grpc_api.methods import FEASTS, OURS, add_feasts, add_user_features
from feature_gateway.grpc_api.native_engine import native_server
from feature_gateway.grpc_api.reflection import SERVICES as REFLECTION_SERVICES
from feature_gateway.grpc_api.reflection import add_reflection
from feature_gateway.grpc_api.servicer import UserFeatureServicer
from feature_gateway.grpc_api.sockets import connections_to
from feature_gateway.observer import Observer

if TYPE_CHECKING:
    from feature_gateway.tracing.tracer import Tracing

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]

SERVICES = (OURS.full_name, FEASTS.full_name, _HEALTH.full_name, *REFLECTION_SERVICES)
"""The full names of the services that the port has."""

METHODS = (*OURS.methods_by_name, *FEASTS.methods_by_name)
"""The names of the methods that are measured."""

STREAM = f"/{OURS.full_name}/StreamUserFeatures"
"""The full name of the method of streams."""

_LEAVE_S = 1.0
_TOLD_S = 0.05

ENGINES: Mapping[str, Callable[[ConnectionLimits], Any]] = {"grpcio": grpcio_server, "native": native_server}
"""How a server without services and ports is made, by the engine's name."""


@dataclass(frozen=True)
class GrpcServer:
    """A gRPC server that listens."""

    server: grpc.aio.Server
    host: str
    port: int
    shutdown_grace_s: float
    """How long calls in flight may take once the server ends."""
    upkeep: asyncio.Task[None] | None = None
    """Keeps connections within their limits; None for a server that does so itself."""
    busy: Callable[[], bool] | None = None
    """Whether a call is being answered; None for a server that sends all answers before it stops."""
    tls: bool = False
    """Whether the connections have TLS of gRPC's own: then nothing can be written into them."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.host}:{self.port}"

    def connections(self) -> int:
        """Return how many connections are open; 0 on a system without /proc."""
        return sum(1 for _ in connections_to(self.port))

    async def ask_to_leave(self) -> bool:
        """Have clients open new connections, elsewhere if a balancer says so; calls are still answered here.

        Returns whether they were asked. With TLS, they can't be: new connections are refused, so that clients whose
        connections reach their age do not come back.
        """
        if self.tls:
            leaving.refuse_connections(self.port)
            return False
        await leaving.ask_to_leave(self.port)
        return True

    async def end(self) -> None:
        """Refuse new connections, have clients leave, and end the server within its grace time.

        Calls that arrive after gRPC's server has stopped end as CANCELLED. So it stops when no connection is left, or
        1 s after clients were asked to leave.
        """
        ends_s = time.monotonic() + self.shutdown_grace_s
        if self.upkeep is not None:
            self.upkeep.cancel()
        leaving.refuse_connections(self.port)
        if self.tls:
            # Clients that follow health have been told just now; those with one address fail their calls from then on.
            # The others leave at the GOAWAY of the server's end.
            await asyncio.sleep(min(_TOLD_S, self.shutdown_grace_s))
            await self.server.stop(max(0.0, ends_s - time.monotonic()))
            return
        await leaving.ask_to_leave(self.port)
        await leaving.until_left(self.port, timeout_s=min(_LEAVE_S, self.shutdown_grace_s))
        if self.busy is not None:
            await leaving.until_quiet(self.port, busy=self.busy, timeout_s=ends_s - time.monotonic())
        await self.server.stop(max(0.0, ends_s - time.monotonic()))


async def start_grpc(
    servicer: UserFeatureServicer,
    feast_servicer: FeastServicer,
    health: Health,
    observer: Observer,
    *,
    gate: Gate,
    engine: str,
    bind_address: str,
    port: int,
    limits: ConnectionLimits,
    shutdown_grace_s: float,
    tls: grpc.ServerCredentials | None = None,
    tracing: "Tracing | None" = None,
) -> GrpcServer:
    """Listen for gRPC, and return the server. Raises StartError when the port can't be used, or TLS by the engine."""
    if tls is not None and engine == "native":
        raise StartError(
            "GATEWAY_GRPC_ENGINE is native, which has no TLS: set it to grpcio, or leave out GATEWAY_TLS_CERT_FILE"
        )
    server, guard = ENGINES[engine](limits), Guard(observer, gate, tracing)
    add_user_features(servicer, server, guard)
    add_feasts(feast_servicer, server, guard)
    health.add_to(server)
    add_reflection(server, (OURS, FEASTS, _HEALTH), guard)
    address = f"{bind_address}:{port}"
    try:
        bound_port = server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls)
    except RuntimeError as error:
        raise StartError(
            f"{address} can't be listened on: end what uses the port, or set GATEWAY_GRPC_PORT to another"
        ) from error
    if engine != "native":
        await server.start()
        return GrpcServer(server, bind_address, bound_port, shutdown_grace_s, tls=tls is not None)
    in_flight = _answer_directly(server, servicer, observer, gate, tracing)
    await server.start()
    upkeep = asyncio.create_task(ConnectionKeeper(bound_port, limits).keep())
    # It closes its connections as soon as the last call has ended, whether or not it has sent the answer.
    return GrpcServer(
        server, bind_address, bound_port, shutdown_grace_s, upkeep, busy=lambda: guard.in_flight + in_flight() > 0
    )


def _answer_directly(
    server: Any, servicer: UserFeatureServicer, observer: Observer, gate: Gate, tracing: "Tracing | None"
) -> Callable[[], int]:
    """Have a native server answer GetUserFeatures without tasks, and return what says how many such calls there are."""
    lookup = servicer.lookup
    if lookup.asker is None:
        return lambda: 0
    path = f"/{OURS.full_name}/{DIRECT_METHOD}"
    direct = DirectCalls(
        lookup,
        lookup.asker,
        observer,
        gate=gate,
        replies=server.front,
        under_way=server.calls,
        traced=tracing.grpc_method(path) if tracing is not None else None,
    )
    server.answer_directly(path, direct.begin)
    return lambda: direct.in_flight
