"""Where the base URL of a feature server leads, and how requests to it begin."""

import asyncio
import ipaddress
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from feature_gateway.tracing.current import current_read

_PORTS = {"http": 80, "https": 443}
# A header with one of them would be several.
_LINE_ENDS = {"\r", "\n", "\0"}


class Origin:
    """A feature server's address; compared by identity."""

    def __init__(self, url: str) -> None:
        """Parse an http or https URL, which may have a path, and an address as its fragment; raise ValueError else.

        The address is connected to, as one of those of the host.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("a feature server's URL is http or https, and has a host")
        self.host = parts.hostname
        self.port = parts.port or _PORTS[parts.scheme]
        self.tls = parts.scheme == "https"
        self._address = parts.fragment or parts.hostname
        self._path = parts.path
        self._fixed = f"HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n"

    async def addresses(self) -> list[str]:
        """Return the addresses of the host; raise OSError when there are none."""
        with suppress(ValueError):
            return [str(ipaddress.ip_address(self._address))]
        found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))

    def head(
        self, method: str, path: str, *, content_type: str = "", length: int | None = None, authorization: str = ""
    ) -> bytes:
        """Return a request up to its body, with the trace context of the read that it is sent for.

        Raises ValueError for an authorization that is not one header.
        """
        head = f"{method} {self._path}{path} {self._fixed}"
        if content_type:
            head += f"Content-Type: {content_type}\r\n"
        if authorization:
            if _LINE_ENDS & set(authorization):
                raise ValueError("an authorization has no line ends")
            head += f"Authorization: {authorization}\r\n"
        read = current_read.get()
        if read is not None:
            head += read.headers
        if length is not None:
            head += f"Content-Length: {length}\r\n"
        # The bytes of a caller's header that are not UTF-8 are sent on as they came.
        return f"{head}\r\n".encode(errors="surrogateescape")
