"""Opens the HTTP port."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from feature_gateway.errors import StartError
from feature_gateway.http_api.connections import BoundedRunner

# No request needs a body. A client that still sends one has this time to see the answer.
_UNREAD_BODY_S = 1.0

_log = logging.getLogger(__name__)


def _of_the_server(record: logging.LogRecord) -> bool:
    """Return whether aiohttp logs more than a malformed request, which is answered 400 and needs no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log.addFilter(_of_the_server)


async def start_http(
    app: web.Application,
    *,
    bind_address: str,
    port: int,
    keepalive_s: float,
    max_connections: int,
    shutdown_grace_s: float,
) -> tuple[str, Callable[[], Awaitable[object]]]:
    """Listen for HTTP; return the address and what ends the server within its grace time.

    A connection is closed if it has no whole request `keepalive_s` after its start or its last answer.
    Raises StartError when the port can't be used.
    """
    runner = BoundedRunner(
        app,
        max_connections=max_connections,
        keepalive_timeout=keepalive_s,
        lingering_time=_UNREAD_BODY_S,
        access_log=None,
        logger=_log,
        shutdown_timeout=shutdown_grace_s,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, bind_address, port, reuse_port=False).start()
    except OSError as error:
        await runner.cleanup()
        raise StartError(
            f"{bind_address}:{port} can't be listened on ({error.strerror}): "
            "end what uses the port, or set GATEWAY_HTTP_PORT to another"
        ) from error
    host, bound_port = runner.addresses[0][:2]
    return f"{host}:{bound_port}", runner.cleanup
