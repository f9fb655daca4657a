"""The spans of calls and reads. None has a user id or a value."""

import time
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from grpc import StatusCode
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, Tracer, set_span_in_context
from opentelemetry.trace import StatusCode as SpanStatus
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from streamflow.features.v1.error_reason_pb2 import ErrorReason

# W3C's alone: what a caller's baggage says is not for a read that others share.
_propagator = TraceContextTextMapPropagator()
_NS_PER_S = 1_000_000_000
# Those that OpenTelemetry's conventions for gRPC count as the server's errors.
_SERVERS_FAULT = {
    StatusCode.UNKNOWN,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.UNIMPLEMENTED,
    StatusCode.INTERNAL,
    StatusCode.UNAVAILABLE,
    StatusCode.DATA_LOSS,
}


class CallSpan:
    """A sampled call's span: what it asked, how long it waited, was read and was written; it must be ended."""

    __slots__ = ("_attributes", "_began_ns", "_http", "_read_began_ns", "_read_ended_ns", "_tracer", "span")

    def __init__(self, tracer: Tracer, span: Span, *, began_ns: int, http: bool) -> None:
        """Create it of a tracer's span that began at a time in nanoseconds since 1970; `http` for a call over HTTP."""
        self._tracer = tracer
        self.span = span
        self._began_ns = began_ns
        self._http = http
        # The SDK takes less time for all of them at once.
        self._attributes: dict[str, str | int | float] = {}
        self._read_began_ns = 0
        self._read_ended_ns = 0

    @property
    def context(self) -> SpanContext:
        """What names it, for its children and for links."""
        return self.span.get_span_context()

    @property
    def trace_id(self) -> str:
        """The id of its trace, in hexadecimal digits as W3C Trace Context writes it."""
        return f"{self.context.trace_id:032x}"

    def asked(self, feature_service: str, rows: int) -> None:
        """Note what the call asks: a feature service, empty for a list of features, and a number of rows."""
        if feature_service:
            self._attributes["gateway.feature_service"] = feature_service
        self._attributes["gateway.rows"] = rows

    def note(self, outcome: str) -> None:
        """Note what became of the call: coalesced, retried, hedged, stale or shed; without effect once it has ended."""
        self._attributes[f"gateway.{outcome}"] = True

    def read_began(self, at_ns: int, *, elsewhere: SpanContext | None = None) -> None:
        """Note that a read for the call begins, maybe as a child of another call; the first one ends its waiting."""
        self._read_began_ns = self._read_began_ns or at_ns
        if elsewhere is not None and self.span.is_recording():
            self.span.add_link(elsewhere)

    def read_ended(self, at_ns: int) -> None:
        """Note that a read for the call has ended; of several, writing begins with the last."""
        self._read_ended_ns = at_ns

    def read(self, calls: "Sequence[CallSpan]", *, rows: int, rows_asked: int, shared: bool) -> "ReadSpan":
        """Begin the span of a read for the sampled calls, of which this is the first."""
        return ReadSpan(self._tracer, calls, rows=rows, rows_asked=rows_asked, shared=shared)

    def end(self, code: StatusCode, reason: ErrorReason.ValueType | None) -> None:
        """End the span with the status of the call, and the reason of its error."""
        now_ns, attributes = time.time_ns(), self._attributes
        if self._read_began_ns:
            # A call can end while its read goes on.
            read_ended_ns = self._read_ended_ns or now_ns
            attributes["gateway.wait_s"] = (self._read_began_ns - self._began_ns) / _NS_PER_S
            attributes["gateway.read_s"] = (read_ended_ns - self._read_began_ns) / _NS_PER_S
            attributes["gateway.write_s"] = (now_ns - read_ended_ns) / _NS_PER_S
        if not self._http:
            attributes["rpc.response.status_code"] = code.name
        if code is not StatusCode.OK:
            attributes["error.type"] = code.name if reason is None else _name_of(reason)
        self.span.set_attributes(attributes)
        if code in _SERVERS_FAULT:
            self.span.set_status(Status(SpanStatus.ERROR))
        self.span.end(now_ns)


class ReadSpan:
    """The span of one read of the feature servers, which one call or several wait for; it must be ended."""

    def __init__(self, tracer: Tracer, calls: Sequence[CallSpan], *, rows: int, rows_asked: int, shared: bool) -> None:
        """Begin it for sampled calls, of which the first is its parent.

        `rows_asked` counts equal rows as often as they were asked for. A read that is `shared` with another call,
        sampled or not, is linked to the sampled ones.
        """
        began_ns = time.time_ns()
        self._span = tracer.start_span(
            "read",
            context=set_span_in_context(calls[0].span),
            kind=SpanKind.CLIENT,
            attributes={"gateway.rows": rows, "gateway.rows_asked": rows_asked},
            links=[Link(call.context) for call in calls] if shared else (),
            start_time=began_ns,
        )
        self._calls = calls
        own = self._span.get_span_context()
        for call in calls:
            call.read_began(began_ns, elsewhere=None if call is calls[0] else own)
            if shared:
                call.note("coalesced")
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(self._span))
        self.headers = "".join(f"{name}: {value}\r\n" for name, value in carrier.items())
        """What requests of the read carry, as lines of an HTTP head; empty once the read has ended."""

    def sent(self, url: str) -> None:
        """Note that the read is sent to a feature server: the first one, that of a retry, or that of a hedge."""
        self._span.add_event("sent", _server_of(url))

    def note(self, outcome: str) -> None:
        """Note on the read and its calls what became of it: retried or hedged."""
        self._span.set_attribute(f"gateway.{outcome}", True)
        for call in self._calls:
            call.note(outcome)

    def end(self, error: BaseException | None) -> None:
        """End the span with what the read raised; None for an answer."""
        self.headers = ""
        now_ns = time.time_ns()
        for call in self._calls:
            call.read_ended(now_ns)
        if error is not None:
            # Its text may have a user's value.
            self._span.set_attribute("error.type", type(error).__name__)
            self._span.set_status(Status(SpanStatus.ERROR))
        self._span.end(now_ns)


@lru_cache
def _server_of(url: str) -> dict[str, str | int]:
    parts = urlsplit(url)
    return {"server.address": parts.hostname or "", "server.port": parts.port or 0}


def _name_of(reason: ErrorReason.ValueType) -> str:
    return ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
