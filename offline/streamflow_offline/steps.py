"""Traces commands and their steps, where OpenTelemetry's variables name an exporter; elsewhere a step does nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from streamflow_logs.span_exporters import send_the_rest
from streamflow_repo.tracing import provider_of

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

_tracer: ContextVar["Tracer | None"] = ContextVar("_tracer", default=None)


@contextmanager
def traced_command(arguments: list[str]) -> Iterator[None]:
    """Trace a command during a block, as the child of the span that TRACEPARENT and TRACESTATE name.

    Only the command's name is taken of its arguments. Raises TracingError for an exporter that can't be used.
    """
    make_provider = provider_of(os.environ, service_name="streamflow-offline", extra="streamflow-offline[tracing]")
    if make_provider is None:
        yield
        return
    from opentelemetry import propagate, trace  # noqa: PLC0415  # an extra

    provider = make_provider()
    # The Python client's calls, for one, are then traced too.
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("streamflow_offline")
    _tracer.set(tracer)
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    carried = {variable.lower(): os.environ.get(variable, "") for variable in ("TRACEPARENT", "TRACESTATE")}
    span = tracer.start_span(f"offline {name}".rstrip(), context=propagate.extract(carried))
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield
    except SystemExit as ended:
        if ended.code:
            _fail(span, "exit")
        raise
    except BaseException as error:
        _fail(span, type(error).__name__)
        raise
    finally:
        span.end()
        send_the_rest(provider)


@contextmanager
def step(name: str, **attributes: str | int) -> Iterator[None]:
    """Trace a step of a command during a block; `attributes` are named with "offline." in front."""
    tracer = _tracer.get()
    if tracer is None:
        yield
        return
    named = {f"offline.{key}": value for key, value in attributes.items()}
    # Texts of errors may have values.
    with tracer.start_as_current_span(
        name, attributes=named, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except BaseException as error:
            _fail(span, type(error).__name__)
            raise


def _fail(span: "Span", why: str) -> None:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415  # an extra

    span.set_attribute("error.type", why)
    span.set_status(StatusCode.ERROR)
