"""The trace that a line belongs to."""

import sys
from contextvars import ContextVar

current_trace_id: ContextVar[str] = ContextVar("streamflow_trace_id", default="")
"""The trace id of the work at hand, 32 hexadecimal digits; empty for none. For code that has no current span."""


def trace_id() -> str:
    """Return the trace id of the work at hand; empty for none.

    OpenTelemetry's current span is asked only in a process that has imported OpenTelemetry.
    """
    known = current_trace_id.get()
    telemetry = sys.modules.get("opentelemetry.trace")
    if known or telemetry is None:
        return known
    found = telemetry.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else ""
