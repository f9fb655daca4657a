"""An OTLP receiver: the collector's own trace service, which keeps what arrives, decoded."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

BOUND_S = 60


@dataclass(frozen=True)
class Received:
    """A span that has arrived."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first span of a trace."""

    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    links: list[str]
    """The span ids."""

    failed: bool
    message: SpanMessage = field(repr=False)


@dataclass
class Receiver:
    """What has arrived at an address."""

    address: str = ""
    spans: list[Received] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that have a process send its spans here, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.address}", "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def named(self, name: str) -> list[Received]:
        """The spans of a name that have arrived."""
        return [span for span in [*self.spans] if span.name == name]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return once what has arrived meets a condition."""
        with self.changed:
            if not self.changed.wait_for(condition, BOUND_S):
                raise AssertionError(f"there are {[span.name for span in self.spans]}")

    def wait_for(self, name: str, count: int = 1) -> list[Received]:
        """Return the spans of a name once there are as many."""
        self.wait_until(lambda: len(self.named(name)) >= count)
        return self.named(name)

    def one(self, name: str) -> Received:
        """Return the only span of a name, once it has arrived."""
        (span,) = self.wait_for(name)
        return span

    def tree(self, trace_id: str) -> str:
        """A trace as lines, each span below its parent."""
        spans = sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.start_ns)
        known = {span.span_id for span in spans}
        lines: list[str] = []

        def add(parents: Sequence[Received], depth: int) -> None:
            for span in parents:
                took_ms = (span.end_ns - span.start_ns) / 1_000_000
                links = f", {len(span.links)} links" if span.links else ""
                lines.append(f"{'  ' * depth}{span.name}  [{span.service}, {span.kind}, {took_ms:.2f} ms{links}]")
                add([child for child in spans if child.parent_id == span.span_id], depth + 1)

        add([span for span in spans if span.parent_id not in known], 0)
        return "\n".join(lines)


class _Servicer(TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(  # noqa: N802  # the method's name
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        del context
        with self._receiver.changed:
            for of_resource in request.resource_spans:
                service = _values(of_resource.resource.attributes).get("service.name", "")
                for of_scope in of_resource.scope_spans:
                    self._receiver.spans.extend(_received(service, span) for span in of_scope.spans)
            self._receiver.changed.notify_all()
        return ExportTraceServiceResponse()


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    """Receive during a block."""
    receiver = Receiver()
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        add_TraceServiceServicer_to_server(_Servicer(receiver), server)  # type: ignore[no-untyped-call]  # generated
        receiver.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield receiver
        finally:
            server.stop(None).wait()


def _received(service: str, span: SpanMessage) -> Received:
    return Received(
        service=service,
        name=span.name,
        kind=SpanMessage.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        events=[(event.name, _values(event.attributes)) for event in span.events],
        links=[link.span_id.hex() for link in span.links],
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        message=span,
    )


def _values(attributes: Sequence[KeyValue]) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)
