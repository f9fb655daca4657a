"""Traces of feature servers and jobs, set up as OpenTelemetry's variables say.

Nothing of OpenTelemetry is imported where the variables name no exporter.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from streamflow_logs.span_exporters import SpanExporterError, resource_named, span_exporters

from streamflow_repo.errors import SettingError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class TracingError(SettingError):
    """OpenTelemetry's variables name an exporter that can't be used."""


def provider_of(
    environment: Mapping[str, str], *, service_name: str, extra: str
) -> "Callable[[], TracerProvider] | None":
    """Return what makes the provider of a process's tracers; None if its environment names no exporter.

    A process that is forked makes its own. Raises TracingError, with the `extra` to install, for an exporter that is
    not installed.
    """
    try:
        exporters = span_exporters(environment, extra=extra)
    except SpanExporterError as error:
        raise TracingError(str(error)) from error
    if not exporters:
        return None
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # an extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    def make() -> TracerProvider:
        provider = TracerProvider(resource=resource_named(service_name), shutdown_on_exit=False)
        for exporter in exporters.values():
            provider.add_span_processor(BatchSpanProcessor(exporter()))
        return provider

    return make
