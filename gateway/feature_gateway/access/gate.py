"""What lets callers in, and the gate that lets in everyone."""

import asyncio
from typing import Protocol

from feature_gateway.access.caller import ANYONE, Caller
from feature_gateway.access.passing_on import PassingOn


class Gate(Protocol):
    """Says who a caller is, by the Authorization header and by the client certificate: PEM or DER, empty for none."""

    reads_certificates: bool
    """Whether the certificate matters; otherwise none has to be given."""

    def known(self, authorization: str, certificate: bytes = b"") -> Caller | None:
        """Return the caller at once, if the credentials were checked before and are still valid; otherwise None."""
        ...

    async def admitted(self, authorization: str, certificate: bytes = b"") -> Caller:
        """Return the caller.

        Raises GatewayError: CREDENTIALS_INVALID, or CREDENTIALS_UNVERIFIABLE while there are no keys to check it with.
        """
        ...

    async def refused(self, authorization: str, certificate: bytes = b"") -> None:
        """Wait until credentials are no longer valid, and raise what `admitted` raises; go on until cancelled."""
        ...

    def header_for(self, key: str) -> str:
        """Return the Authorization header of reads for the callers of a key; empty for none."""
        ...


class OpenGate(Gate):
    """Lets in everyone. Who has another Authorization header is another caller."""

    reads_certificates = False

    def __init__(self, passing_on: PassingOn) -> None:
        """Create it; reads get the header that `passing_on` says."""
        self._passing_on = passing_on

    def known(self, authorization: str, certificate: bytes = b"") -> Caller:
        """Return a caller of the header."""
        del certificate
        return Caller(authorization) if authorization else ANYONE

    async def admitted(self, authorization: str, certificate: bytes = b"") -> Caller:
        """Return a caller of the header."""
        return self.known(authorization, certificate)

    async def refused(self, authorization: str, certificate: bytes = b"") -> None:
        """Wait until cancelled."""
        del authorization, certificate
        await asyncio.Event().wait()

    def header_for(self, key: str) -> str:
        """Return the header of the callers, which is their key, or one of the gateway's own."""
        return self._passing_on.header_for(key, key)


def open_gate() -> OpenGate:
    """Return a gate that lets in everyone, and has their headers passed on."""
    return OpenGate(PassingOn(callers=True))
