"""What web pages may do: hosts that the port answers as, and origins whose pages may read its answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from feature_gateway.http_api.answers import problem

_PREFLIGHT_S = 600

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True)
class Browsers:
    """The rules for requests that a browser may have sent."""

    hosts: tuple[str, ...] = ()
    """The values of Host that are answered, a name without a port with any port; empty for all."""

    origins: tuple[str, ...] = ()
    """The origins, other than the port itself, whose requests are answered."""

    def middleware(self) -> Any:
        """Return the middleware that refuses other requests."""

        @web.middleware
        async def refuse(request: web.Request, handler: _Handler) -> web.StreamResponse:
            host = request.headers.get(hdrs.HOST, "").lower()
            if self.hosts and not {host, _without_port(host)} & {*self.hosts}:
                # A page whose name leads to this address, too: the browser takes it for the page's own server.
                return problem(HTTPStatus.MISDIRECTED_REQUEST, "This server does not answer for the request's Host.")
            origin = request.headers.get(hdrs.ORIGIN)
            if origin is None or origin.lower() == f"{request.scheme}://{host}":
                return await handler(request)
            if origin.lower() not in self.origins:
                return problem(HTTPStatus.FORBIDDEN, "Requests of the page's origin are not answered.")
            response = _preflight() if _asks_first(request) else await handler(request)
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.VARY] = hdrs.ORIGIN
            return response

        return refuse


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _asks_first(request: web.Request) -> bool:
    return request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers


def _preflight() -> web.Response:
    return web.Response(
        status=HTTPStatus.NO_CONTENT,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: hdrs.METH_GET,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: hdrs.AUTHORIZATION,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_PREFLIGHT_S),
        },
    )
