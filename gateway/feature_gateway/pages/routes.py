"""The pages on the HTTP port: who may see them, and what a failure looks like."""

import logging
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow_logs import Event

from feature_gateway.access.caller import Caller
from feature_gateway.access.gate import Gate
from feature_gateway.errors import GatewayError, as_gateway_error
from feature_gateway.http_api.credentials import credentials_of
from feature_gateway.pages.calls import Place
from feature_gateway.pages.features import Features
from feature_gateway.pages.look_up import LookUp
from feature_gateway.pages.now import Now
from feature_gateway.pages.rendering import HEADERS, Renderer

_log = logging.getLogger(__name__)

# Whatever else a request says becomes no part of a command.
_HOST = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?", re.ASCII)

_Answer = Callable[[web.Request, Caller], Awaitable[web.Response]]


@dataclass(kw_only=True)
class Ports:
    """How the gateway's ports are called."""

    tls: bool
    token: bool
    """Whether calls show a token."""

    grpc_address: str = ""
    """Where gRPC listens, once it does."""

    def place(self, request: web.Request) -> Place:
        """Return where the gateway is, as the browser of a request calls it."""
        found = _HOST.fullmatch(request.host)
        name, port = found.groups() if found else ("localhost", "")
        return Place(
            grpc=f"{name}:{self.grpc_address.rpartition(':')[2]}",
            http=f"{'https' if self.tls else 'http'}://{name}{port or ''}",
            tls=self.tls,
            token=self.token,
        )


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Adds the pages to an application."""

    gate: Gate
    renderer: Renderer
    look_up: LookUp
    features: Features
    now: Now
    ports: Ports

    def add_to(self, app: web.Application) -> None:
        """Have an application answer for the pages."""
        app.router.add_get("/pages", _to_look_up)
        app.router.add_get("/pages/", _to_look_up)
        app.router.add_get("/pages/static/{name}", self.renderer.file)
        app.router.add_get("/pages/look-up", self._guarded(self._look_up))
        app.router.add_get("/pages/features", self._guarded(self.features.answer))
        app.router.add_get("/pages/now", self._guarded(self.now.answer))

    async def _look_up(self, request: web.Request, caller: Caller) -> web.Response:
        return await self.look_up.answer(request, caller, self.ports.place(request))

    def _guarded(self, answer: _Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return a handler that knows its caller, and answers a failure with a page."""

        async def handler(request: web.Request) -> web.Response:
            try:
                caller = await credentials_of(request, self.gate).caller()
                return await answer(request, caller)
            except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes a page
                failure = as_gateway_error(error)
                if failure is not error:
                    _log.exception(Event("unforeseen failure", of=request.path))
                return await self._failed(failure)

        return handler

    async def _failed(self, error: GatewayError) -> web.Response:
        name = "token" if error.http_status is HTTPStatus.UNAUTHORIZED else "failed"
        response = await self.renderer.page(
            name, status=error.http_status, error=error, reason=ErrorReason.Name(error.reason)
        )
        if name == "token":
            response.headers["WWW-Authenticate"] = "Bearer"
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
        return response


async def _to_look_up(request: web.Request) -> web.Response:
    # Relative, so that it holds behind a proxy that puts something in front of the path.
    to = "look-up" if request.path.endswith("/") else "pages/look-up"
    return web.Response(status=HTTPStatus.FOUND, headers={**HEADERS, "Location": to})
