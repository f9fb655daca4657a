"""Reads the metadata and the deadline of calls."""

from collections.abc import Iterable
from typing import Any

import grpc

from feature_gateway.access.credentials import Credentials
from feature_gateway.access.gate import Gate

_ENDLESS_S = 1e9


def credentials_of(context: grpc.aio.ServicerContext[Any, Any], gate: Gate) -> Credentials:
    """Return what a call shows at a gate."""
    authorization = authorization_in(context.invocation_metadata() or ())
    if not gate.reads_certificates:
        return Credentials(gate, authorization)
    # gRPC has it only if TLS has verified it.
    (certificate,) = context.auth_context().get("x509_pem_cert", (b"",))
    return Credentials(gate, authorization, certificate)


def authorization_in(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the Authorization header of some metadata; empty for none."""
    for key, value in metadata:
        if key == "authorization":
            return value if isinstance(value, str) else value.decode(errors="replace")
    return ""


def remaining_s_of(context: grpc.aio.ServicerContext[Any, Any]) -> float | None:
    """Return how long a call may still take; None for a call without a deadline."""
    remaining_s: float | None = context.time_remaining()
    # The native engine returns sys.maxsize where grpc.aio returns None.
    return None if remaining_s is None or remaining_s > _ENDLESS_S else remaining_s
