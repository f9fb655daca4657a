"""Builds the gateway from its parts, runs it, and ends it without dropping calls."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streamflow_logs import Event

from feature_gateway.background import keep_running
from feature_gateway.contract.reload import keep_current
from feature_gateway.gatekeeping import gatekeeping_of
from feature_gateway.grpc_api.feast_servicer import FeastServicer
from feature_gateway.grpc_api.health import Health
from feature_gateway.grpc_api.server import METHODS, SERVICES, STREAM, start_grpc
from feature_gateway.grpc_api.servicer import UserFeatureServicer
from feature_gateway.heartbeat import beat
from feature_gateway.http_api.app import FEATURES_METHOD, make_app
from feature_gateway.http_ports import End, add_pages, browsers_of, open_http_ports
from feature_gateway.limits import connection_limits, stream_limits
from feature_gateway.pages.asking import LOOK_UP_METHOD
from feature_gateway.pages.now import Present
from feature_gateway.pages.routes import Ports
from feature_gateway.parts import coalescer_of, contracts_of, lookup_of, metrics_of, pool_of, reader_of, server_tls_of
from feature_gateway.readiness.canary import Canary, CanaryRead
from feature_gateway.readiness.readiness import Readiness, follow
from feature_gateway.renewed import Renewed, keep_renewed
from feature_gateway.settings import Settings
from feature_gateway.tls import upstream_tls

if TYPE_CHECKING:
    from feature_gateway.gauges import Readings
    from feature_gateway.tracing.tracer import Tracing

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Addresses:
    """Where a running gateway listens; for port 0 the port that was found."""

    grpc: str
    http: str
    admin: str
    """Probes and metrics."""


@dataclass(frozen=True)
class Controls:
    """Events that control a running gateway; set one to use it."""

    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    """End the drain pause."""

    reload_contract: asyncio.Event = field(default_factory=asyncio.Event)
    """Reload the contract's file, changed or not."""


@asynccontextmanager
async def running_gateway(
    settings: Settings, *, controls: Controls | None = None, tracing: "Tracing | None" = None
) -> AsyncIterator[Addresses]:
    """Serve during a block; then drain, refuse new calls, and give calls in flight their grace time.

    Ready once a canary read has succeeded, which the start does not wait for. Raises StartError, before anything
    listens, for a contract or a port that can't be used.
    """
    controls = controls or Controls()
    contracts = contracts_of(settings)
    tls = server_tls_of(settings)
    feature_server_tls = upstream_tls(
        settings.feature_server_ca_file, settings.feature_server_cert_file, settings.feature_server_key_file
    )
    renewed: list[Renewed[Any]] = [feature_server_tls, *([tls.certificates] if tls else [])]
    # Remembered rows can be returned for this long, so clients that follow health should still send their calls.
    readiness = Readiness(outlasts_s=settings.stale_if_down_s)
    health = Health(readiness, SERVICES)
    metrics = metrics_of(tracing, methods=(*METHODS, FEATURES_METHOD, *([LOOK_UP_METHOD] if settings.pages else [])))
    async with AsyncExitStack() as stack:
        stack.callback(metrics.failed_calls.close)
        canary_read = CanaryRead(
            feature_service=settings.default_feature_service,
            user_entity=settings.user_entity,
            key_text=settings.canary_user_id,
            authorization=settings.canary_authorization,
            timeout_s=settings.readiness_timeout_s,
        )
        pool = await pool_of(contracts, canary_read, settings, metrics, stack, tls=feature_server_tls)
        keeping = gatekeeping_of(settings, stack)
        coalescer = coalescer_of(pool, keeping.gate, settings, metrics, stack)
        lookup = lookup_of(contracts, reader_of(coalescer, pool, settings), settings, metrics)
        canary = Canary(pool, canary_read, start_trial_s=settings.start_trial_s)
        every_s = settings.readiness_interval_s
        keep_running(follow(readiness, lambda: canary.check(contracts.current), interval_s=every_s), stack)
        keep_running(keep_current(contracts, canary.try_out, asked=controls.reload_contract), stack)
        keep_running(keep_renewed(renewed), stack)
        keep_running(beat(metrics), stack)
        stack.push_async_callback(_all, ends := list[End]())
        leaving = asyncio.Event()
        app = make_app(lookup, metrics=metrics, browsers=browsers_of(settings), gate=keeping.gate, tracing=tracing)
        ports = Ports(tls=tls is not None, token={"token", "jwt"} & {*settings.auth} != set())
        servicer = UserFeatureServicer(
            lookup,
            limits=stream_limits(settings),
            observer=metrics,
            traced=tracing.grpc_method(STREAM) if tracing is not None else None,
        )
        readings: Readings = {
            "ready": lambda: readiness.ready,
            "queued_calls": lambda: coalescer.queued,
            "queued_groups": lambda: coalescer.queued_groups,
            "max_queued_calls": lambda: settings.max_queued_calls,
            "reads_in_flight": lambda: coalescer.in_flight,
            "slots": lambda: pool.slots,
            "slots_taken": lambda: pool.slots_taken,
            "replicas": lambda: len(pool.urls),
            "replicas_set_aside": lambda: pool.ejected,
            "streams": lambda: servicer.streams,
            "max_streams": lambda: settings.max_streams,
            "contracts_accepted": lambda: contracts.accepted,
            "contracts_refused": lambda: contracts.refused,
            "contract_pending": lambda: contracts.pending,
            "contract_file_refused": lambda: contracts.file_refused,
            "certificates_refused": lambda: any(each.refused for each in renewed),
            "access_refused": lambda: keeping.refused,
        }
        metrics.watch(
            readings,
            contract_hash=lambda: contracts.current.hash,
            max_ages=lambda: contracts.current.max_ages,
            feature_servers=lambda: pool.states,
        )
        if settings.pages:
            add_pages(
                app,
                lookup,
                metrics,
                settings,
                gate=keeping.gate,
                ports=ports,
                present=Present(
                    not_ready=lambda: readiness.reason,
                    contract_hash=lambda: contracts.current.hash,
                    gauges=readings,
                    feature_servers=lambda: pool.states,
                ),
                stack=stack,
            )
        http, admin = await open_http_ports(
            app, readiness, metrics, settings, tls=tls, leaving=leaving.is_set, ends=ends
        )
        grpc_server = await start_grpc(
            servicer,
            FeastServicer(lookup),
            health,
            metrics,
            gate=keeping.gate,
            engine=settings.grpc_engine,
            bind_address=settings.bind_address,
            port=settings.grpc_port,
            limits=connection_limits(settings),
            shutdown_grace_s=settings.shutdown_grace_s,
            tls=tls.credentials() if tls else None,
            tracing=tracing,
        )
        ends.append(grpc_server.end)
        metrics.watch_connections("grpc", opened=grpc_server.connections, most=settings.max_connections)
        grpc_address = ports.grpc_address = grpc_server.address
        _log.info(Event("serving", grpc=grpc_address, http=http, admin=admin, contract=contracts.current.hash))
        yield Addresses(grpc=grpc_address, http=http, admin=admin)
        health.keep_watches()
        readiness.drain()
        _log.info(Event("draining", pause_s=settings.drain_pause_s))
        # Balancers first: otherwise a client behind one comes back here.
        notice_s = min(settings.drain_notice_s, settings.drain_pause_s)
        await _unless(controls.hurry, notice_s)
        leaving.set()
        # GOAWAY ahead of NOT_SERVING, after which a client that has one address, a balancer's, fails its calls.
        if await grpc_server.ask_to_leave():
            health.release_watches()
        await _unless(controls.hurry, settings.drain_pause_s - notice_s)
        health.end_watches()
        servicer.end_streams()
        _log.info(Event("ending", grace_s=settings.shutdown_grace_s))


async def _unless(hurry: asyncio.Event, pause_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(hurry.wait(), pause_s)


async def serve(settings: Settings, *, tracing: "Tracing | None" = None) -> None:
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
    async with running_gateway(settings, controls=controls, tracing=tracing):
        # Objects of the start live to the end; without a freeze each full collection would delay calls.
        gc.collect()
        gc.freeze()
        await ended.wait()


async def _all(ends: list[End]) -> None:
    """Do all at once, so that all servers share one grace time."""
    await asyncio.gather(*(end() for end in ends))
