"""Builds the gateway from its parts, runs it, and ends it without dropping calls."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from feature_gateway.background import keep_running
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.content import ContractError
from feature_gateway.contract.reload import ContractHolder, keep_current
from feature_gateway.errors import StartError
from feature_gateway.grpc_api.feast_servicer import FeastServicer
from feature_gateway.grpc_api.health import Health
from feature_gateway.grpc_api.server import METHODS, SERVICES, start_grpc
from feature_gateway.grpc_api.servicer import UserFeatureServicer
from feature_gateway.http_api.app import FEATURES_METHOD, make_app
from feature_gateway.http_api.server import start_http
from feature_gateway.limits import connection_limits, stream_limits
from feature_gateway.lookup.last_known import LastKnown
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.lookup.stale_if_down import StaleIfDown
from feature_gateway.metrics import Metrics
from feature_gateway.observer import Observer
from feature_gateway.readiness.canary import Canary, CanaryRead
from feature_gateway.readiness.readiness import Readiness, follow
from feature_gateway.reads import RowReader
from feature_gateway.settings import Settings
from feature_gateway.upstream.feature_server import FeatureServer, make_session
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.upstream.share import share_of_gateway

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Addresses:
    """Where a running gateway listens; for port 0 the port that was found."""

    grpc: str
    http: str


@dataclass(frozen=True)
class Controls:
    """Events that control a running gateway; set one to use it."""

    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    """End the drain pause."""

    reload_contract: asyncio.Event = field(default_factory=asyncio.Event)
    """Reload the contract's file, changed or not."""


@asynccontextmanager
async def running_gateway(settings: Settings, *, controls: Controls | None = None) -> AsyncIterator[Addresses]:
    """Serve during a block; then drain, refuse new calls, and give calls in flight their grace time.

    Ready once a canary read has succeeded, which the start does not wait for. Raises StartError, before anything
    listens, for a contract or a port that can't be used.
    """
    controls = controls or Controls()
    contracts = _contracts(settings)
    # Remembered rows can be returned for this long, so clients that follow health should still send their calls.
    readiness = Readiness(outlasts_s=settings.stale_if_down_s)
    health = Health(readiness, SERVICES)
    metrics = Metrics(CollectorRegistry(), methods=(*METHODS, FEATURES_METHOD))
    async with AsyncExitStack() as stack:
        canary_read = CanaryRead(
            feature_service=settings.default_feature_service,
            user_entity=settings.user_entity,
            key_text=settings.canary_user_id,
            authorization=settings.canary_authorization,
            timeout_s=settings.readiness_timeout_s,
        )
        pool = await _pool(contracts, canary_read, settings, metrics, stack)
        coalescer = _coalescer(pool, settings, metrics, stack)
        lookup = _lookup(contracts, _reader(coalescer, pool, settings), settings, metrics)
        metrics.watch(
            ready=lambda: readiness.ready,
            queued=lambda: coalescer.queued,
            reads_in_flight=lambda: coalescer.in_flight,
            replicas=lambda: len(pool.urls),
            replicas_ejected=lambda: pool.ejected,
            contract_hash=lambda: contracts.current.hash,
            contracts_accepted=lambda: contracts.accepted,
            contracts_refused=lambda: contracts.refused,
            contract_pending=lambda: contracts.pending,
        )
        canary = Canary(pool, canary_read, start_trial_s=settings.start_trial_s)
        every_s = settings.readiness_interval_s
        keep_running(follow(readiness, lambda: canary.check(contracts.current), interval_s=every_s), stack)
        keep_running(keep_current(contracts, canary.try_out, asked=controls.reload_contract), stack)
        app = make_app(lookup, readiness=readiness, metrics=metrics)
        http_address, end_http = await start_http(
            app,
            bind_address=settings.bind_address,
            port=settings.http_port,
            keepalive_s=settings.http_keepalive_s,
            max_connections=settings.max_http_connections,
            shutdown_grace_s=settings.shutdown_grace_s,
        )
        stack.push_async_callback(_all, ends := [end_http])
        servicer = UserFeatureServicer(lookup, limits=stream_limits(settings), observer=metrics)
        grpc_server = await start_grpc(
            servicer,
            FeastServicer(lookup),
            health,
            metrics,
            bind_address=settings.bind_address,
            port=settings.grpc_port,
            limits=connection_limits(settings),
            shutdown_grace_s=settings.shutdown_grace_s,
        )
        ends.append(grpc_server.end)
        grpc_address = grpc_server.address
        _log.info("serving gRPC on %s and HTTP on %s, contract %s", grpc_address, http_address, contracts.current.hash)
        yield Addresses(grpc=grpc_address, http=http_address)
        health.keep_watches()
        readiness.drain()
        _log.info("draining: calls are still answered for %g s", settings.drain_pause_s)
        # Balancers first: otherwise a client behind one comes back here.
        notice_s = min(settings.drain_notice_s, settings.drain_pause_s)
        await _unless(controls.hurry, notice_s)
        # GOAWAY ahead of NOT_SERVING, after which a client that has one address, a balancer's, fails its calls.
        await grpc_server.ask_to_leave()
        health.release_watches()
        await _unless(controls.hurry, settings.drain_pause_s - notice_s)
        health.end_watches()
        servicer.end_streams()
        _log.info("ending: calls in flight get %g s", settings.shutdown_grace_s)


async def _unless(hurry: asyncio.Event, pause_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(hurry.wait(), pause_s)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, a second of which cuts the drain pause short; raise StartError when that can't be.

    SIGHUP reloads the contract's file.
    """
    ended, controls = asyncio.Event(), Controls()

    def end() -> None:
        if ended.is_set():
            controls.hurry.set()
        ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, controls.reload_contract.set)
    async with running_gateway(settings, controls=controls):
        # Objects of the start live to the end; without a freeze each full collection would delay calls.
        gc.collect()
        gc.freeze()
        await ended.wait()


def _contracts(settings: Settings) -> ContractHolder:
    try:
        return ContractHolder(settings.contract_path, default_feature_service=settings.default_feature_service)
    except ContractError as error:
        raise StartError(f"contract: {error}") from error


async def _pool(
    contracts: ContractHolder,
    canary_read: CanaryRead,
    settings: Settings,
    observer: Observer,
    stack: AsyncExitStack,
) -> ReplicaPool:
    session = await stack.enter_async_context(make_session())
    pool = ReplicaPool(
        (),
        connect=lambda url: FeatureServer(url, session=session),
        hedge=settings.hedge,
        reads_per_replica=settings.reads_per_feature_server,
        first_read=lambda server: canary_read.read(server, contracts.current),
        observer=observer,
    )
    stack.push_async_callback(pool.close)
    share = share_of_gateway(
        settings.feature_server_subset_size,
        bind_address=settings.bind_address,
        port=settings.grpc_port,
        use=pool.set_urls,
    )
    following = share.follow(settings.feature_server_urls, settings.peer_urls, interval_s=settings.dns_interval_s)
    keep_running(following, stack)
    return pool


def _coalescer(pool: ReplicaPool, settings: Settings, observer: Observer, stack: AsyncExitStack) -> Coalescer:
    coalescer = Coalescer(
        pool, max_read_rows=settings.max_read_users, max_queued=settings.max_queued_calls, observer=observer
    )
    stack.push_async_callback(coalescer.close)
    return coalescer


def _lookup(contracts: ContractHolder, reader: RowReader, settings: Settings, observer: Observer) -> Lookup:
    return Lookup(
        contracts=contracts,
        reader=reader,
        observer=observer,
        default_feature_service=settings.default_feature_service,
        user_entity=settings.user_entity,
        default_timeout_s=settings.default_timeout_s,
        max_timeout_s=settings.max_timeout_s,
        deadline_margin_s=settings.deadline_margin_s,
        max_user_id_bytes=settings.max_user_id_bytes,
        max_batch_users=settings.max_batch_users,
    )


def _reader(coalescer: Coalescer, pool: ReplicaPool, settings: Settings) -> RowReader:
    # If no row is remembered, the coalescer itself: a call then pays nothing for it.
    if settings.stale_if_down_s == 0:
        return coalescer
    last_known = LastKnown(
        max_age_s=settings.stale_if_down_s,
        max_rows=settings.stale_if_down_rows,
        max_bytes=settings.stale_if_down_bytes,
        now_s=time.monotonic,
    )
    return StaleIfDown(coalescer, last_known, silent=pool.times.silent)


async def _all(ends: list[Callable[[], Awaitable[object]]]) -> None:
    """Do all at once, so that both servers share one grace time."""
    await asyncio.gather(*(end() for end in ends))
