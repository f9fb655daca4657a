"""Opens the HTTP port, and the port of probes and metrics where it is another."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web

from feature_gateway.access.gate import Gate
from feature_gateway.background import keep_running
from feature_gateway.http_api.app import add_probes, make_admin_app
from feature_gateway.http_api.browsers import Browsers
from feature_gateway.http_api.server import HttpLimits, start_http
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.metrics import Metrics
from feature_gateway.pages.asking import Asker
from feature_gateway.pages.features import Features
from feature_gateway.pages.look_up import LookUp
from feature_gateway.pages.now import Now, Present
from feature_gateway.pages.rendering import Renderer
from feature_gateway.pages.routes import Pages, Ports
from feature_gateway.pages.samples import Samples
from feature_gateway.readiness.readiness import Readiness
from feature_gateway.settings import Settings
from feature_gateway.tls import ServerTls

End = Callable[[], Awaitable[object]]
"""Ends a server within its grace time."""


def browsers_of(settings: Settings) -> Browsers:
    """Return the rules for requests that a browser may have sent."""
    return Browsers(hosts=settings.http_hosts, origins=settings.http_origins)


def add_pages(
    app: web.Application,
    lookup: Lookup,
    metrics: Metrics,
    settings: Settings,
    *,
    gate: Gate,
    ports: Ports,
    present: Present,
    stack: AsyncExitStack,
) -> None:
    """Have an application show the pages, which keep samples of the metrics until the stack closes."""
    renderer = Renderer()
    samples = Samples(metrics.totals, present.feature_servers)
    keep_running(samples.keep_taking(), stack)
    Pages(
        gate=gate,
        renderer=renderer,
        look_up=LookUp(
            asker=Asker(lookup=lookup, metrics=metrics),
            renderer=renderer,
            default_feature_service=settings.default_feature_service,
        ),
        features=Features(lookup=lookup, metrics=metrics, renderer=renderer),
        now=Now(samples=samples, present=present, renderer=renderer),
        ports=ports,
    ).add_to(app)


async def open_http_ports(
    app: web.Application,
    readiness: Readiness,
    metrics: Metrics,
    settings: Settings,
    *,
    tls: ServerTls | None,
    leaving: Callable[[], bool],
    ends: list[End],
) -> tuple[str, str]:
    """Listen for an application, and for probes and metrics; return both addresses, and add to `ends`.

    While `leaving` is true, each connection ends with its next answer.

    Raises StartError for a port that can't be used.
    """
    limits = HttpLimits(
        keepalive_s=settings.http_keepalive_s,
        max_connections=settings.max_http_connections,
        max_age_s=settings.max_connection_age_s,
        max_header_bytes=settings.max_http_header_bytes,
        shutdown_grace_s=settings.shutdown_grace_s,
    )
    admin_app = app if settings.admin_port is None else make_admin_app(metrics=metrics)
    add_probes(admin_app, readiness)
    http = await start_http(
        app,
        bind_address=settings.bind_address,
        port=settings.http_port,
        variable="GATEWAY_HTTP_PORT",
        limits=limits,
        leaving=leaving,
        tls=tls.context() if tls else None,
    )
    ends.append(http.end)
    metrics.watch_connections("http", opened=http.connections, most=settings.max_http_connections)
    if settings.admin_port is None:
        return http.address, http.address
    # Without TLS: kubelets have no certificates, and Prometheus would need one for each pod's address.
    admin = await start_http(
        admin_app,
        bind_address=settings.bind_address,
        port=settings.admin_port,
        variable="GATEWAY_ADMIN_PORT",
        limits=limits,
        leaving=leaving,
    )
    ends.append(admin.end)
    metrics.watch_connections("admin", opened=admin.connections, most=settings.max_http_connections)
    return http.address, admin.address
