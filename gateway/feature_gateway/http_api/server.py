"""Opens the HTTP port."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from feature_gateway.errors import StartError


async def start_http(
    app: web.Application, *, bind_address: str, port: int, shutdown_grace_s: float
) -> tuple[str, Callable[[], Awaitable[object]]]:
    """Listen for HTTP; return the address and what ends the server within its grace time.

    Raises StartError when the port can't be used.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_grace_s)
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
