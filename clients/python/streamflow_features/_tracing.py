"""Traces calls where OpenTelemetry is installed: passes context on, and makes spans if the program records them.

A request is a span. Calls that share a request have a span each, from the call to its answer, and the request's span
has links to them.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context, ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import grpc

from streamflow_features._authorization import Metadata

try:
    from opentelemetry import context as otel_context
    from opentelemetry import propagate, trace
except ImportError:
    _INSTALLED = False
else:
    _INSTALLED = True

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

_UNKNOWN = grpc.StatusCode.UNKNOWN
_GET = "streamflow.features.v1.UserFeatureService/GetUserFeatures"

_sharing: ContextVar["Sequence[Span]"] = ContextVar("_sharing", default=())
"""The spans of the calls that share the request that is being sent."""


def traced(channel: Any) -> Any:
    """Return a channel whose methods are traced and pass trace context on; without OpenTelemetry the channel itself."""
    return TracedChannel(channel) if _INSTALLED else channel


def shared(calls: "Sequence[Span | None]", send: Callable[..., Any]) -> Callable[..., Any]:
    """Return `send` for a request that calls share; None stands for a call that is not traced."""
    spans = [span for span in calls if span is not None]
    if not spans:
        return send

    def send_for_all(*arguments: Any, **options: Any) -> Any:
        token = _sharing.set(spans)
        try:
            return send(*arguments, **options)
        finally:
            _sharing.reset(token)

    return send_for_all


def begin_call(context: Context) -> "Span | None":
    """Begin the span of a call that waits to share a request, current in its context; None if it is not traced."""
    tracer = _tracer() if _INSTALLED else None
    if tracer is None:
        return None
    span = tracer.start_span(_GET, kind=trace.SpanKind.CLIENT, attributes=_about(_GET))
    if not span.is_recording():
        return None
    context.run(otel_context.attach, trace.set_span_in_context(span))
    return span


def end_call(span: "Span | None", error: BaseException | None) -> None:
    """End the span of a call with what it raises; None for an answer."""
    if span is not None:
        code = getattr(error, "code", grpc.StatusCode.CANCELLED)
        _end(span, grpc.StatusCode.OK if error is None else code if isinstance(code, grpc.StatusCode) else _UNKNOWN)


class TracedChannel:
    """A channel whose methods are traced. Everything else is the channel's own."""

    def __init__(self, channel: Any) -> None:
        """Creates the channel."""
        self._channel = channel

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> "TracedMethod":
        """Return a method with one request and one reply."""
        return TracedMethod(self._channel.unary_unary(method, *arguments, **options), method.removeprefix("/"))

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> "TracedMethod":
        """Return a method of a stream, which passes context on; the gateway traces its messages."""
        return TracedMethod(self._channel.stream_stream(method, *arguments, **options), "")


class TracedMethod:
    """A method of a stub that adds trace context to the metadata, and has a span for each call if it has a name."""

    def __init__(self, method: Any, name: str) -> None:
        """Creates the method."""
        self._method = method
        self._name = name

    def __call__(self, *arguments: Any, metadata: Metadata = (), **options: Any) -> Any:
        """Call the method."""
        span = self._span()
        if span is None:
            return self._method(*arguments, metadata=_with_context(metadata), **options)
        try:
            with trace.use_span(span, record_exception=False):
                answer = self._method(*arguments, metadata=_with_context(metadata), **options)
        except BaseException as error:
            _end(span, _code_of(error))
            raise
        if isinstance(answer, grpc.aio.Call):
            _end_with(answer, span)
        else:
            _end(span, grpc.StatusCode.OK)
        return answer

    def future(self, *arguments: Any, metadata: Metadata = (), **options: Any) -> Any:
        """Call the method, and return at once."""
        span = self._span()
        if span is None:
            return self._method.future(*arguments, metadata=_with_context(metadata), **options)
        with trace.use_span(span, record_exception=False):
            future = self._method.future(*arguments, metadata=_with_context(metadata), **options)
        future.add_done_callback(lambda done: _end(span, done.code()))
        return future

    def _span(self) -> "Span | None":
        tracer = _tracer() if self._name else None
        if tracer is None:
            return None
        calls = _sharing.get()
        links = [trace.Link(call.get_span_context()) for call in calls]
        span = tracer.start_span(self._name, kind=trace.SpanKind.CLIENT, attributes=_about(self._name), links=links)
        for call in calls[1:]:
            # The first is its parent.
            call.add_link(span.get_span_context())
        return span


def _tracer() -> "Tracer | None":
    """Return what makes spans; None if the program has set up nothing that records them."""
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else _tracer_of(provider)


# The SDK takes longer to return a tracer than a span takes.
@lru_cache(maxsize=1)
def _tracer_of(provider: "TracerProvider") -> "Tracer":
    return provider.get_tracer("streamflow_features")


def _about(method: str) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": method}


def _with_context(metadata: Metadata) -> Metadata:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return (*metadata, *carrier.items()) if carrier else metadata


def _code_of(error: BaseException) -> grpc.StatusCode:
    return error.code() if isinstance(error, grpc.Call) else _UNKNOWN


_ending: "set[asyncio.Task[None]]" = set()


def _end_with(call: "grpc.aio.Call", span: "Span") -> None:
    """End a span when an asyncio call ends."""

    async def end() -> None:
        code = grpc.StatusCode.CANCELLED
        try:
            code = await call.code()
        finally:
            _end(span, code)

    task = asyncio.get_running_loop().create_task(end())
    _ending.add(task)
    task.add_done_callback(_ending.discard)


def _end(span: "Span", code: grpc.StatusCode) -> None:
    span.set_attribute("rpc.response.status_code", code.name)
    if code is not grpc.StatusCode.OK:
        span.set_attribute("error.type", code.name)
        span.set_status(trace.StatusCode.ERROR)
    span.end()
