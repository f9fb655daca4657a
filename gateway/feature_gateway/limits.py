"""The bounds of gRPC's connections and streams, from the settings."""

from feature_gateway.grpc_api.connection_limits import ConnectionLimits
from feature_gateway.grpc_api.servicer import StreamLimits
from feature_gateway.settings import Settings


def stream_limits(settings: Settings) -> StreamLimits:
    """Return what streams may take."""
    return StreamLimits(
        max_streams=settings.max_streams,
        max_in_flight=settings.max_stream_in_flight,
        max_stream_bytes=settings.max_stream_bytes,
        max_bytes=settings.max_streams_bytes,
        stall_s=settings.stream_stall_s,
    )


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Return what connections may take."""
    return ConnectionLimits(
        max_connections=settings.max_connections,
        max_calls=settings.max_calls_per_connection,
        max_message_bytes=settings.max_message_bytes,
        max_metadata_bytes=settings.max_metadata_bytes,
        max_age_s=settings.max_connection_age_s,
        age_grace_s=settings.max_connection_age_grace_s,
    )
