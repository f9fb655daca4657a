"""Opens the HTTP port."""

import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http import HttpProcessingError

from feature_gateway.errors import StartError
from feature_gateway.http_api.connections import BoundedRunner

# No request needs a body. A client that still sends one has this time to see the answer.
_UNREAD_BODY_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """What the connections of a port may take."""

    keepalive_s: float
    """A connection is closed if it has no whole request so long after its start or its last answer."""

    max_connections: int
    max_age_s: float
    """The age of a connection that ends with its next answer; 0 for any age."""

    max_header_bytes: int
    """The most bytes of the request line, and of each header."""

    shutdown_grace_s: float


@dataclass(frozen=True)
class HttpServer:
    """An HTTP server that listens."""

    address: str

    end: Callable[[], Awaitable[object]]
    """Ends it within its grace time."""

    connections: Callable[[], int]
    """How many connections are open."""


def _of_the_server(record: logging.LogRecord) -> bool:
    """Return whether aiohttp logs more than a malformed request, which is answered 400 and needs no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log.addFilter(_of_the_server)


async def start_http(
    app: web.Application,
    *,
    bind_address: str,
    port: int,
    variable: str,
    limits: HttpLimits,
    leaving: Callable[[], bool],
    tls: ssl.SSLContext | None = None,
) -> HttpServer:
    """Listen for HTTP, and return the server.

    While `leaving` is true, each connection ends with its next answer.

    Raises StartError, with the port's variable, when the port can't be used.
    """
    runner = BoundedRunner(
        app,
        max_connections=limits.max_connections,
        max_age_s=limits.max_age_s,
        leaving=leaving,
        max_line_size=limits.max_header_bytes,
        max_field_size=limits.max_header_bytes,
        keepalive_timeout=limits.keepalive_s,
        lingering_time=_UNREAD_BODY_S,
        access_log=None,
        logger=_log,
        shutdown_timeout=limits.shutdown_grace_s,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, bind_address, port, reuse_port=False, ssl_context=tls).start()
    except OSError as error:
        await runner.cleanup()
        raise StartError(
            f"{bind_address}:{port} can't be listened on ({error.strerror}): "
            f"end what uses the port, or set {variable} to another"
        ) from error
    host, bound_port = runner.addresses[0][:2]
    return HttpServer(f"{host}:{bound_port}", end=runner.cleanup, connections=lambda: runner.connections)
