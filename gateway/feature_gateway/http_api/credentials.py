"""Reads the credentials of HTTP requests."""

from aiohttp import web

from feature_gateway.access.credentials import Credentials
from feature_gateway.access.gate import Gate


def credentials_of(request: web.Request, gate: Gate) -> Credentials:
    """Return what a request shows at a gate."""
    authorization = request.headers.get("Authorization", "")
    if not gate.reads_certificates:
        return Credentials(gate, authorization)
    tls = request.get_extra_info("ssl_object")
    # Python has it only if TLS has verified it.
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return Credentials(gate, authorization, certificate or b"")
