"""Opens the gateway's two ports, with the options of gRPC's server."""

from collections.abc import Awaitable, Callable
from functools import partial

import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection
from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.user_feature_service_pb2_grpc import add_UserFeatureServiceServicer_to_server

from feature_gateway.health import Health
from feature_gateway.interceptors import ErrorInterceptor
from feature_gateway.observer import Observer
from feature_gateway.servicer import UserFeatureServicer
from feature_gateway.settings import Settings

SERVICE = user_feature_service_pb2.DESCRIPTOR.services_by_name["UserFeatureService"].full_name
"""The gRPC service's full name."""

Ends = list[Callable[[], Awaitable[object]]]
"""What a listener's end takes, added to by each that is opened."""

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_MAX_PENDING_CALLS = 100_000
_GRPC_OPTIONS = (
    # Otherwise a second gateway on the same port starts without a word and takes half the calls.
    ("grpc.so_reuseport", 0),
    # Clients may ping as often as gRPC's own defaults allow without being cut off.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # gRPC drops calls beyond 1,000 that the event loop has not got to yet, as CANCELLED, and so without a word of why.
    ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
)


class StartError(Exception):
    """The gateway can't start; the message says why and what to change."""


async def start_http(app: web.Application, settings: Settings, ends: Ends) -> str:
    """Listen for HTTP and return the address; raise StartError for a port that can't be used."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=settings.shutdown_grace_s)
    await runner.setup()
    ends.append(runner.cleanup)
    site = web.TCPSite(runner, settings.bind_address, settings.http_port, reuse_port=False)
    try:
        await site.start()
    except OSError as error:
        raise StartError(
            f"{settings.bind_address}:{settings.http_port} can't be listened on ({error.strerror}): "
            "end what uses the port, or set GATEWAY_HTTP_PORT to another"
        ) from error
    host, port = runner.addresses[0][:2]
    return f"{host}:{port}"


def _grpc_options(settings: Settings) -> tuple[tuple[str, int], ...]:
    if settings.max_connection_age_s == 0:
        return _GRPC_OPTIONS
    # A client that opens a connection anew resolves its name anew, and so finds gateways that were added. Without a
    # grace of its own the age cuts nothing short: what a connection has begun, streams too, ends on it.
    return (*_GRPC_OPTIONS, ("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1000)))


async def start_grpc(
    servicer: UserFeatureServicer,
    health: Health,
    observer: Observer,
    settings: Settings,
    ends: Ends,
) -> str:
    """Listen for gRPC and return the address; raise StartError for a port that can't be used."""
    server = grpc.aio.server(interceptors=[ErrorInterceptor(observer)], options=_grpc_options(settings))
    add_UserFeatureServiceServicer_to_server(servicer, server)
    health.add_to(server)
    reflection.enable_server_reflection((SERVICE, _HEALTH, reflection.SERVICE_NAME), server)
    try:
        port = server.add_insecure_port(f"{settings.bind_address}:{settings.grpc_port}")
    except RuntimeError as error:
        raise StartError(
            f"{settings.bind_address}:{settings.grpc_port} can't be listened on: "
            "end what uses the port, or set GATEWAY_GRPC_PORT to another"
        ) from error
    await server.start()
    ends.append(partial(server.stop, settings.shutdown_grace_s))
    return f"{settings.bind_address}:{port}"
