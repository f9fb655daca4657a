"""A gateway in front of feature servers, as a process of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack_under_test import BIN
from streamflow_local import ports
from streamflow_local.process import ProcessSpec
from streamflow_local.testing import running, wait_for_port

_START_TIMEOUT_S = 150


@dataclass(frozen=True)
class Gateway:
    """Where a gateway listens."""

    target: str
    """Its gRPC server: host and port."""

    http: str
    """The URL of its HTTP server."""


@contextmanager
def gateway_before(*feature_servers: str, contract: Path, logs: Path, **settings: str) -> Iterator[Gateway]:
    """Run a gateway before feature servers, by their URLs, for the length of a block; `settings` are its variables."""
    grpc_port, http_port = ports.free_ports(2)
    spec = ProcessSpec(
        name="gateway",
        command=(str(BIN / "feature-gateway"),),
        environment={
            "GATEWAY_GRPC_PORT": str(grpc_port),
            "GATEWAY_HTTP_PORT": str(http_port),
            "GATEWAY_FEATURE_SERVER_URLS": ",".join(feature_servers),
            "GATEWAY_CONTRACT_PATH": str(contract),
            **settings,
        },
    )
    log = logs / "gateway.log"
    with running(spec, log=log):
        wait_for_port(grpc_port, log=log, timeout_s=_START_TIMEOUT_S)
        yield Gateway(f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{http_port}")
