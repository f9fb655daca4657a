"""Certificates in files, of authorities that live as long as a test."""

import os
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import trustme
from feature_gateway.settings import Settings

HOST = "localhost"


@dataclass(frozen=True)
class Certified:
    """An authority, and a folder with its certificate and with one that it has issued."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.issue()

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def cert_file(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def key_file(self) -> Path:
        return self.folder / "key.pem"

    def issue(self, *names: str) -> None:
        """Write a new certificate, as what renews certificates does: each file is replaced at once."""
        issued = self.authority.issue_cert(*(names or (HOST, "127.0.0.1")))
        for path, content in (
            (self.cert_file, b"".join(pem.bytes() for pem in issued.cert_chain_pems)),
            (self.key_file, issued.private_key_pem.bytes()),
            (self.ca_file, self.authority.cert_pem.bytes()),
        ):
            write(path, content)

    def give_to(self, other: "Certified") -> None:
        """Have another folder's files hold what this one's do."""
        for mine, theirs in zip(self.files, other.files, strict=True):
            write(theirs, mine.read_bytes())

    @property
    def files(self) -> tuple[Path, Path, Path]:
        return self.cert_file, self.key_file, self.ca_file

    def channel_credentials(self, client: "Certified | None" = None) -> grpc.ChannelCredentials:
        """Credentials that trust this authority, and show a client's certificate."""
        if client is None:
            return grpc.ssl_channel_credentials(self.ca_file.read_bytes())
        return grpc.ssl_channel_credentials(
            self.ca_file.read_bytes(), client.key_file.read_bytes(), client.cert_file.read_bytes()
        )

    def context(self, client: "Certified | None" = None) -> ssl.SSLContext:
        """A context that trusts this authority, and shows a client's certificate."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if client is not None:
            context.load_cert_chain(client.cert_file, client.key_file)
        return context

    def server_context(self, *, clients: "Certified | None" = None) -> ssl.SSLContext:
        """A server's context that shows this certificate, and asks for one of the clients' authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_file, self.key_file)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients.ca_file)
        return context

    def serves(self, settings: Settings, *, clients: "Certified | None" = None) -> Settings:
        """Settings of a gateway that shows this certificate, and asks for one of the clients' authority."""
        return replace(
            settings,
            # The native engine has no TLS.
            grpc_engine="grpcio",
            tls_cert_file=self.cert_file,
            tls_key_file=self.key_file,
            tls_client_ca_file=clients.ca_file if clients else None,
        )


def write(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)  # noqa: PTH105
