"""Begins the spans of calls."""

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Tracer, get_current_span
from streamflow_logs.span_exporters import send_the_rest

from feature_gateway.tracing.spans import CallSpan

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from feature_gateway.tracing.sampling import Chances

Metadata = Collection[tuple[str, str | bytes]]
"""What a call carries, by names in lower case."""


W3C = {"traceparent", "tracestate", "baggage"}
"""The fields of W3C's trace context and baggage, which the SDK's own propagators read."""


class Tracing:
    """What traces calls and reads; belongs to one event loop."""

    def __init__(self, provider: "TracerProvider", chances: "Chances") -> None:
        """Create it; `chances` draws the ids of the provider's traces."""
        self._provider = provider
        self._chances = chances
        self._tracer = provider.get_tracer("feature_gateway")

    def grpc_method(self, full_method: str) -> "TracedMethod":
        """Return what traces the calls of a method over gRPC, named as /service/method."""
        name = full_method.removeprefix("/")
        return TracedMethod(
            self._tracer, self._chances, name, {"rpc.system.name": "grpc", "rpc.method": name}, http=False
        )

    def http_route(self, method: str, route: str) -> "TracedMethod":
        """Return what traces the requests of a route."""
        attributes = {"http.request.method": method, "http.route": route}
        return TracedMethod(self._tracer, self._chances, f"{method} {route}", attributes, http=True)

    def close(self) -> None:
        """Send what has not been sent, for at most 2 s."""
        send_the_rest(self._provider)


class TracedMethod:
    """What traces the calls of one method."""

    def __init__(
        self, tracer: Tracer, chances: "Chances", name: str, attributes: Mapping[str, str], *, http: bool
    ) -> None:
        """Create it; each span gets the name and the attributes."""
        self._tracer = tracer
        self._chances = chances
        self._name = name
        self._attributes = attributes
        self._http = http
        self._w3c_alone = propagate.get_global_textmap().fields <= W3C

    def begin(self, metadata: Metadata, *, apart: bool = False) -> CallSpan | None:
        """Begin the span of a call that carries this; return None for a call that is not sampled.

        A call `apart` begins a trace of its own, which is linked to what it carries.
        """
        if self._chances.none_for(() if apart else metadata):
            return None
        carried = {key: value for key, value in metadata if isinstance(value, str)}
        parent = Context() if W3C.isdisjoint(carried) and self._w3c_alone else propagate.extract(carried)
        links = []
        if apart:
            linked = get_current_span(parent).get_span_context()
            links, parent = [Link(linked)] if linked.is_valid else [], Context()
        began_ns = time.time_ns()
        span = self._tracer.start_span(
            self._name,
            context=parent,
            kind=SpanKind.SERVER,
            attributes=self._attributes,
            links=links,
            start_time=began_ns,
        )
        return CallSpan(self._tracer, span, began_ns=began_ns, http=self._http) if span.is_recording() else None
