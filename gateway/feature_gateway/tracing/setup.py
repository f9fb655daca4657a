"""Sets tracing up as OpenTelemetry's variables say.

Nothing of OpenTelemetry is imported where the variables name no exporter.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from streamflow_logs.span_exporters import SpanExporterError, resource_named, span_exporters

from feature_gateway.errors import StartError

if TYPE_CHECKING:
    from feature_gateway.tracing.tracer import Tracing


def tracing_of(environment: Mapping[str, str]) -> "Tracing | None":
    """Return what traces calls, as the process's environment says; None where it names no exporter.

    Raises StartError for an exporter that can't be used.
    """
    try:
        named = span_exporters(environment, extra="feature-gateway[tracing]")
    except SpanExporterError as error:
        raise StartError(str(error)) from error
    if not named:
        return None
    from opentelemetry.propagate import get_global_textmap  # noqa: PLC0415  # an extra
    from opentelemetry.sdk.resources import SERVICE_VERSION  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from feature_gateway.tracing.sampling import Chances  # noqa: PLC0415  # it imports the SDK
    from feature_gateway.tracing.tracer import W3C, Tracing  # noqa: PLC0415

    exporters = []
    for name, make in named.items():
        try:
            exporters.append(make())
        except Exception as error:  # whatever an exporter raises of its own variables
            raise StartError(f"traces can't be exported by {name}: {error}") from error
    chances = Chances()
    # Ended by `Tracing.close`, ahead of the process's end.
    provider = TracerProvider(
        resource=resource_named("feature-gateway", **{SERVICE_VERSION: version("feature-gateway")}),
        id_generator=chances,
        shutdown_on_exit=False,
    )
    # With another propagator in OTEL_PROPAGATORS, whether a caller's trace is sampled stands elsewhere.
    if get_global_textmap().fields <= W3C:
        chances.follow(provider.sampler)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, chances)
