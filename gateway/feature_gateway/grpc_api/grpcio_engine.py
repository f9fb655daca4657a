"""gRPC's own server."""

import grpc

from feature_gateway.grpc_api.connection_limits import ConnectionLimits

_MAX_PENDING_CALLS = 100_000

SHARED_OPTIONS = (
    # Otherwise a second gateway on the same port starts without an error and takes half the calls.
    ("grpc.so_reuseport", 0),
    # A connection whose client is gone, or takes nothing of it, is closed after 80 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
"""Options that each engine obeys."""

OWN_OPTIONS = (
    # Clients may ping as often as gRPC's own defaults allow without being cut off.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # gRPC ends calls beyond 1,000 that the event loop has not reached yet as CANCELLED, without a reason.
    ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
    # The time of a TLS handshake. By gRPC's default, who opens connections and says nothing keeps them for 120 s.
    ("grpc.server_handshake_timeout_ms", 10_000),
    # gRPC reads this option instead of keepalive_timeout_ms (https://github.com/grpc/grpc/pull/39239).
    ("grpc.http2.ping_timeout_ms", 20_000),
)
"""Options that only gRPC's own server reads."""


def grpcio_server(limits: ConnectionLimits) -> grpc.aio.Server:
    """Return a server without services and ports, which keeps connections within the limits."""
    return grpc.aio.server(options=_options(limits))


def _options(limits: ConnectionLimits) -> tuple[tuple[str, int], ...]:
    bounds = (
        *SHARED_OPTIONS,
        *OWN_OPTIONS,
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        *limits.options(),
    )
    if limits.max_age_s == 0:
        return bounds
    # A client that opens a new connection resolves the gateway's name again, and so finds gateways that were added.
    # What a connection has begun, streams too, ends on it within the grace.
    return (
        *bounds,
        ("grpc.max_connection_age_ms", round(limits.max_age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", round(limits.age_grace_s * 1000)),
    )
