"""TLS of the gateway's ports, and of its connections to feature servers, from PEM files."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from feature_gateway.renewed import Renewed


@dataclass(frozen=True)
class ServerCertificates:
    """What both servers show to their callers, from the same files."""

    grpc: grpc.ServerCertificateConfiguration
    http: ssl.SSLContext


@dataclass(frozen=True)
class ServerTls:
    """TLS of the gateway's ports, 1.2 at least. Connections that are open keep what they began with."""

    certificates: Renewed[ServerCertificates]
    client_certificates: bool
    """Whether clients must have certificates."""

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials of gRPC's server; each new connection gets the certificates of its time."""
        given = self.certificates.current.grpc

        def changed() -> Any:
            nonlocal given
            before, given = given, self.certificates.current.grpc
            # gRPC prepares its TLS again whenever it gets some.
            return None if given is before else given

        return grpc.dynamic_ssl_server_credentials(given, changed, self.client_certificates)

    def context(self) -> ssl.SSLContext:
        """Return a context for asyncio's server; each new connection gets the certificates of its time."""
        return _CurrentContext.of(lambda: self.certificates.current.http)


class _CurrentContext(ssl.SSLContext):
    """Hands each connection on to the context of its time.

    A context whose files are loaded again would still trust the authorities of before, and continue sessions of before.
    """

    _current: Callable[[], ssl.SSLContext]

    @classmethod
    def of(cls, current: Callable[[], ssl.SSLContext]) -> "_CurrentContext":
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._current = current
        return context

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return self._current().wrap_bio(*arguments, **options)


def server_tls(cert_file: Path, key_file: Path, client_ca_file: Path | None) -> ServerTls:
    """Return the TLS of servers; with authorities for clients, clients must have certificates of theirs.

    Raises StartError for files that can't be used.
    """
    files = [cert_file, key_file, *([client_ca_file] if client_ca_file else [])]

    def certificates() -> ServerCertificates:
        certificate, key, *authorities = [_content(file) for file in files]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        _load_own(context, cert_file, key_file)
        if client_ca_file is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            _load_authorities(context, client_ca_file)
        configuration = grpc.ssl_server_certificate_configuration(
            [(key, certificate)], root_certificates=authorities[0] if authorities else None
        )
        return ServerCertificates(configuration, context)

    return ServerTls(Renewed(certificates, files, what="GATEWAY_TLS"), client_ca_file is not None)


def upstream_tls(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> Renewed[ssl.SSLContext]:
    """Return the TLS of connections to feature servers, whose names are checked.

    Without `ca_file` the system's authorities are trusted. Raises StartError for files that can't be used.
    """
    files = [file for file in (ca_file, cert_file, key_file) if file is not None]

    def context() -> ssl.SSLContext:
        for file in files:
            _content(file)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if ca_file is None:
            made.load_default_certs()
        else:
            _load_authorities(made, ca_file)
        if cert_file is not None and key_file is not None:
            _load_own(made, cert_file, key_file)
        return made

    return Renewed(context, files, what="GATEWAY_FEATURE_SERVER_TLS")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} can't be read ({error.strerror})") from error


def _load_own(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    try:
        # An encrypted key would be asked for on the terminal.
        context.load_cert_chain(cert_file, key_file, password="")
    except ssl.SSLError as error:
        why = "they do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else _why(error)
        raise ValueError(f"{cert_file} and {key_file} are not a PEM certificate and its key: {why}") from error


def _load_authorities(context: ssl.SSLContext, file: Path) -> None:
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise ValueError(f"{file} has no PEM certificates: {_why(error)}") from error


def _why(error: ssl.SSLError) -> str:
    return error.reason or "malformed"
