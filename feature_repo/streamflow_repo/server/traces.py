"""A span for each read that carries a trace, as the gateway's sampled reads do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from streamflow_logs.span_exporters import send_the_rest

from streamflow_repo.server.apps import change_apps

if TYPE_CHECKING:
    from feast import FeatureStore
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_ROUTES = {"/rows/v1", "/get-online-features"}
_CONTEXT = {b"traceparent", b"tracestate"}

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def trace_reads(make_provider: "Callable[[], TracerProvider]") -> None:
    """Have the apps of this process trace reads that carry a trace; each worker makes a provider as it starts."""

    def add(app: Any, _store: "FeatureStore") -> None:
        build, lifespan = app.build_middleware_stack, app.router.lifespan_context
        tracers: list[Tracer] = []

        @asynccontextmanager
        async def tracing(started: Any) -> AsyncIterator[Any]:
            # Not ahead of the fork of the worker, which would have neither the threads nor the connections.
            provider = make_provider()
            tracers.append(provider.get_tracer("streamflow_repo.server"))
            try:
                async with lifespan(started) as state:
                    yield state
            finally:
                await asyncio.to_thread(send_the_rest, provider)

        app.router.lifespan_context = tracing
        app.build_middleware_stack = lambda: _Traced(build(), tracers)

    change_apps(add)


class _Traced:
    """An ASGI app in front of another."""

    def __init__(self, following: _App, tracers: "list[Tracer]") -> None:
        self._following = following
        self._tracers = tracers

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        carried = _context_of(scope["headers"]) if scope["type"] == "http" and scope["path"] in _ROUTES else None
        if not carried or not self._tracers:
            await self._following(scope, receive, send)
            return
        from opentelemetry import propagate, trace  # noqa: PLC0415  # an extra

        span = self._tracers[-1].start_span(
            f"{scope['method']} {scope['path']}",
            context=propagate.extract(carried),
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "http.route": scope["path"]},
        )

        async def telling(message: _Message) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", int(message["status"]))
                if message["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    span.set_status(trace.StatusCode.ERROR)
            await send(message)

        # Without exceptions, whose texts may have values.
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            await self._following(scope, receive, telling)


def _context_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in headers if name in _CONTEXT}
