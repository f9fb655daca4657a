"""The credentials of one call or stream."""

from feature_gateway.access.caller import Caller
from feature_gateway.access.gate import Gate


class Credentials:
    """What a call shows at a gate."""

    __slots__ = ("_authorization", "_certificate", "_gate")

    def __init__(self, gate: Gate, authorization: str, certificate: bytes = b"") -> None:
        """Create them from an Authorization header and a client certificate, PEM or DER; empty for none."""
        self._gate = gate
        self._authorization = authorization
        self._certificate = certificate

    async def caller(self) -> Caller:
        """Return whose they are now; raise GatewayError if they are not valid."""
        known = self._gate.known(self._authorization, self._certificate)
        return known or await self._gate.admitted(self._authorization, self._certificate)

    async def refused(self) -> None:
        """Wait until they are no longer valid, and raise the GatewayError of that."""
        await self._gate.refused(self._authorization, self._certificate)
