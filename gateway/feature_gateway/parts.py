"""Makes the gateway's parts of its settings."""

import ssl
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from feature_gateway.access.gate import Gate
from feature_gateway.background import keep_running
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.content import ContractError
from feature_gateway.contract.reload import ContractHolder
from feature_gateway.errors import StartError
from feature_gateway.lookup.last_known import LastKnown
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.lookup.stale_if_down import StaleIfDown
from feature_gateway.metrics import Metrics
from feature_gateway.observer import Observer
from feature_gateway.readiness.canary import CanaryRead
from feature_gateway.reads import RowReader
from feature_gateway.renewed import Renewed
from feature_gateway.settings import Settings
from feature_gateway.tls import ServerTls, server_tls
from feature_gateway.upstream.connections import Connections
from feature_gateway.upstream.feature_server import FeatureServer
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.upstream.share import share_of_gateway

if TYPE_CHECKING:
    from feature_gateway.tracing.tracer import Tracing


def server_tls_of(settings: Settings) -> ServerTls | None:
    """Return the TLS of the ports; None for none. Raises StartError for files that can't be used."""
    cert_file, key_file = settings.tls_cert_file, settings.tls_key_file
    if cert_file is None or key_file is None:
        return None
    return server_tls(cert_file, key_file, settings.tls_client_ca_file)


def metrics_of(tracing: "Tracing | None", *, methods: Iterable[str]) -> Metrics:
    """Return the metrics of calls of some methods, which also tell spans if calls are traced."""
    registry = CollectorRegistry()
    if tracing is None:
        return Metrics(registry, methods=methods)
    from feature_gateway.traced_metrics import TracedMetrics  # noqa: PLC0415  # it imports OpenTelemetry

    return TracedMetrics(registry, methods=methods)


def contracts_of(settings: Settings) -> ContractHolder:
    """Return the holder of the contract that the settings name; raise StartError for one that can't be used."""
    try:
        return ContractHolder(settings.contract_path, default_feature_service=settings.default_feature_service)
    except ContractError as error:
        raise StartError(f"contract: {error}") from error


async def pool_of(
    contracts: ContractHolder,
    canary_read: CanaryRead,
    settings: Settings,
    observer: Observer,
    stack: AsyncExitStack,
    *,
    tls: Renewed[ssl.SSLContext],
) -> ReplicaPool:
    """Return the pool of the feature servers, which follows their names until the stack closes."""
    connections = await stack.enter_async_context(Connections(tls=lambda: tls.current))
    pool = ReplicaPool(
        (),
        connect=lambda url: FeatureServer(url, connections=connections),
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


def coalescer_of(
    pool: ReplicaPool, gate: Gate, settings: Settings, observer: Observer, stack: AsyncExitStack
) -> Coalescer:
    """Return what merges reads of the pool for callers that a gate knows, until the stack closes."""
    coalescer = Coalescer(
        pool,
        max_read_rows=settings.max_read_users,
        max_queued=settings.max_queued_calls,
        observer=observer,
        header_for=gate.header_for,
    )
    stack.push_async_callback(coalescer.close)
    return coalescer


def lookup_of(contracts: ContractHolder, reader: RowReader, settings: Settings, observer: Observer) -> Lookup:
    """Return what answers questions by the rows of a reader."""
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


def reader_of(coalescer: Coalescer, pool: ReplicaPool, settings: Settings) -> RowReader:
    """Return what rows are asked of: the coalescer, with remembered rows behind it if there are to be any."""
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
