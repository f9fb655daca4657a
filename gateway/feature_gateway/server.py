"""Builds the gateway out of its parts, runs it, and ends it without dropping calls."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection
from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.user_feature_service_pb2_grpc import add_UserFeatureServiceServicer_to_server

from feature_gateway.coalescer import Coalescer
from feature_gateway.contract import Contract, ContractError, load_contract
from feature_gateway.health import Health
from feature_gateway.http_api import make_app
from feature_gateway.interceptors import ErrorInterceptor
from feature_gateway.lookup import Lookup
from feature_gateway.replicas import ReplicaSet
from feature_gateway.servicer import UserFeatureServicer
from feature_gateway.settings import Settings
from feature_gateway.upstream import FeatureServer, make_session

_log = logging.getLogger(__name__)

_SERVICE = user_feature_service_pb2.DESCRIPTOR.services_by_name["UserFeatureService"].full_name
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_GRPC_OPTIONS = (
    # Otherwise a second gateway on the same port starts without a word and takes half the calls.
    ("grpc.so_reuseport", 0),
    # Clients may ping as often as gRPC's own defaults allow without being cut off.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class StartError(Exception):
    """The gateway can't start; the message says why and what to change."""


@dataclass(frozen=True)
class Addresses:
    """Where a running gateway listens; a port set to 0 is the one that was found."""

    grpc: str
    http: str


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[Addresses]:
    """Serve for the length of a block; then end: NOT_SERVING, no new calls, those in flight get their grace time.

    Raises StartError, before anything listens, for a contract or a port that can't be used.
    """
    contract = _contract(settings)
    async with AsyncExitStack() as stack:
        lookup = Lookup(contract=contract, coalescer=await _coalescer(contract, settings, stack), settings=settings)
        http_address = await _start_http(lookup, settings, stack)
        grpc_address = await _start_grpc(lookup, settings, stack)
        _log.info("serving gRPC on %s and HTTP on %s, contract %s", grpc_address, http_address, contract.hash)
        yield Addresses(grpc=grpc_address, http=http_address)
        _log.info("ending: calls in flight get %g s", settings.shutdown_grace_s)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raise StartError when that can't be."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running_gateway(settings):
        await ended.wait()


def _contract(settings: Settings) -> Contract:
    try:
        contract = load_contract(settings.contract_path)
    except ContractError as error:
        raise StartError(f"contract: {error}") from error
    if settings.default_feature_service not in contract.services:
        raise StartError(
            f"GATEWAY_DEFAULT_FEATURE_SERVICE is {settings.default_feature_service!r}; "
            f"the contract has {', '.join(sorted(contract.services))}"
        )
    return contract


async def _coalescer(contract: Contract, settings: Settings, stack: AsyncExitStack) -> Coalescer:
    session = await stack.enter_async_context(make_session())
    replicas = ReplicaSet(
        settings.feature_server_urls,
        connect=lambda url: FeatureServer(url, join_key=contract.join_key, session=session),
        hedge=settings.hedge,
    )
    stack.push_async_callback(replicas.close)
    coalescer = Coalescer(
        replicas,
        slots=lambda: replicas.slots,
        max_batch_size=settings.max_batch_size,
        max_queued=settings.max_queued_calls,
    )
    stack.push_async_callback(coalescer.close)
    return coalescer


async def _start_http(lookup: Lookup, settings: Settings, stack: AsyncExitStack) -> str:
    runner = web.AppRunner(make_app(lookup), access_log=None, shutdown_timeout=settings.shutdown_grace_s)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
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


async def _start_grpc(lookup: Lookup, settings: Settings, stack: AsyncExitStack) -> str:
    server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=_GRPC_OPTIONS)
    add_UserFeatureServiceServicer_to_server(UserFeatureServicer(lookup), server)
    health = Health((_SERVICE,))
    await health.add_to(server)
    reflection.enable_server_reflection((_SERVICE, _HEALTH, reflection.SERVICE_NAME), server)
    try:
        port = server.add_insecure_port(f"{settings.bind_address}:{settings.grpc_port}")
    except RuntimeError as error:
        raise StartError(
            f"{settings.bind_address}:{settings.grpc_port} can't be listened on: "
            "end what uses the port, or set GATEWAY_GRPC_PORT to another"
        ) from error
    await server.start()
    stack.push_async_callback(server.stop, settings.shutdown_grace_s)
    await health.set_serving()
    stack.push_async_callback(health.set_not_serving)
    return f"{settings.bind_address}:{port}"
