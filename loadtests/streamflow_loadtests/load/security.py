"""TLS and the token of calls to the gateway, by the Python client's variables. The image for locust has no client."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc

_PREFIX = "STREAMFLOW_FEATURES_"
_YES = ("1", "true", "yes")


@dataclass(frozen=True, kw_only=True)
class Security:
    """What calls to a gateway need; nothing by default."""

    tls: bool = False
    """Whether connections use TLS; by the system's authorities without `ca_file`."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Return what the STREAMFLOW_FEATURES_… variables say. No file is read yet."""
        names = ("ca_file", "cert_file", "key_file", "token", "token_file")
        found = {name: environment.get(_PREFIX + name.upper()) or None for name in names}
        files = any(found[name] for name in ("ca_file", "cert_file", "key_file"))
        return cls(tls=files or environment.get(f"{_PREFIX}TLS", "").lower() in _YES, **found)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what each call carries. Raises OSError for a token's file, and ValueError, without the token."""
        token = self.token
        if token is None and self.token_file is not None:
            token = Path(self.token_file).read_text(encoding="utf-8").strip()
        if token is None:
            return ()
        if not (token and token.isascii() and token.isprintable()):
            # gRPC's own error has the value.
            raise ValueError("the token is empty, or not printable ASCII on one line")
        return (("authorization", f"Bearer {token}"),)

    def channel(self, address: str, *, options: Sequence[tuple[str, Any]] = ()) -> grpc.Channel:
        """Return a channel to a gateway. Raises OSError for a file that can't be read."""
        if not self.tls:
            return grpc.insecure_channel(address, options=options)
        files = (self.ca_file, self.key_file, self.cert_file)
        contents = [None if file is None else Path(file).read_bytes() for file in files]
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(*contents), options=options)

    def context(self) -> ssl.SSLContext:
        """Return the TLS of HTTP. Raises OSError for a file that can't be read."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context
