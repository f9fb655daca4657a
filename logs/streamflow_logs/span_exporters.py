"""What sends a process's traces, as OpenTelemetry's variables name it; its SDK reads the other variables by itself.

Nothing of OpenTelemetry is imported where the variables name no exporter.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OTLP = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
_PACKAGES = {"otlp_proto_http": "opentelemetry-exporter-otlp-proto-http"}
_LAST_SEND_S = 2.0


class SpanExporterError(Exception):
    """OpenTelemetry's variables name an exporter that can't be used."""


def span_exporters(environment: Mapping[str, str], *, extra: str) -> Mapping[str, Callable[[], Any]]:
    """Return by name what makes each exporter; nothing without OTEL_TRACES_EXPORTER and without an endpoint.

    Raises SpanExporterError for what is not installed, with the package to install: `extra`, for most.
    """
    names = _names(environment)
    if names:
        try:
            import opentelemetry.sdk.trace.export  # noqa: F401, PLC0415  # an extra
        except ImportError as error:
            raise SpanExporterError(f"traces are asked for, which needs OpenTelemetry: install {extra}") from error
    return {name: _loaded(name, extra) for name in names}


def resource_named(service_name: str, **attributes: str) -> "Resource":
    """Return what traces say of their process; name and `attributes` are for one that the variables do not name."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415  # an extra

    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: service_name, **attributes}))
    return resource


def send_the_rest(provider: "TracerProvider") -> None:
    """End a provider's tracers and send what has not been sent, for at most 2 s."""
    # A receiver that is not there is tried for 10 s and more, and the end of the process has to wait for nobody.
    sending = Thread(target=provider.shutdown, daemon=True)
    sending.start()
    sending.join(_LAST_SEND_S)


def _names(environment: Mapping[str, str]) -> list[str]:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if any(environment.get(variable) for variable in _ENDPOINTS) else "none"
    named = [name.strip() for name in (environment.get("OTEL_TRACES_EXPORTER") or default).split(",")]
    protocol = next((environment[variable] for variable in _PROTOCOLS if environment.get(variable)), "grpc")
    if "otlp" in named and protocol not in _OTLP:
        raise SpanExporterError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; it takes {' or '.join(_OTLP)}")
    return [_OTLP[protocol] if name == "otlp" else name for name in named if name not in {"", "none"}]


def _loaded(name: str, extra: str) -> Any:
    found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=name)), None)
    if found is None:
        raise SpanExporterError(
            f"traces are to be exported by {name}, which is not installed: install {_PACKAGES.get(name, extra)}"
        )
    return found.load()
