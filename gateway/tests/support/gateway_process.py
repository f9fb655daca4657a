"""The gateway as a process of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from feature_gateway.settings import Settings

TIMEOUT_S = 30


@dataclass(frozen=True)
class GatewayProcess:
    """A gateway that listens; its standard error is read by `line_with`."""

    process: asyncio.subprocess.Process
    grpc: str
    http: str

    @property
    def http_url(self) -> str:
        return f"http://{self.http}"

    async def line_with(self, text: str) -> str:
        return await _line_with(self.process, text)

    async def refuses_connections(self) -> None:
        """Return once neither port takes connections any more."""
        for address in (self.grpc, self.http):
            host, port = address.split(":")
            while True:
                try:
                    _, writer = await asyncio.open_connection(host, int(port))
                except OSError:
                    break
                writer.close()


def command() -> str:
    return str(Path(sys.executable).parent / "feature-gateway")


def environment(settings: Settings) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "GATEWAY_GRPC_PORT": str(settings.grpc_port),
        "GATEWAY_HTTP_PORT": str(settings.http_port),
        "GATEWAY_FEATURE_SERVER_URLS": ",".join(settings.feature_server_urls),
        "GATEWAY_CONTRACT_PATH": str(settings.contract_path),
        "GATEWAY_MAX_STREAM_IN_FLIGHT": str(settings.max_stream_in_flight),
        "GATEWAY_MAX_STREAM_BYTES": str(settings.max_stream_bytes),
        "GATEWAY_MAX_STREAMS_BYTES": str(settings.max_streams_bytes),
        "GATEWAY_CANARY_USER_ID": settings.canary_user_id,
        "GATEWAY_DEFAULT_FEATURE_SERVICE": settings.default_feature_service,
        "GATEWAY_DRAIN_PAUSE_S": str(settings.drain_pause_s),
        "GATEWAY_DRAIN_NOTICE_S": str(settings.drain_notice_s),
        "GATEWAY_SHUTDOWN_GRACE_S": str(settings.shutdown_grace_s),
    }


@asynccontextmanager
async def gateway_process(settings: Settings) -> AsyncIterator[GatewayProcess]:
    """Start a gateway and wait until it listens; kill it at the end unless it has ended."""
    process = await asyncio.create_subprocess_exec(command(), env=environment(settings), stderr=asyncio.subprocess.PIPE)
    try:
        words = (await _line_with(process, "serving gRPC on ")).split("serving gRPC on ")[1].split()
        yield GatewayProcess(process, grpc=words[0], http=words[words.index("HTTP") + 2].rstrip(","))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line_with(process: asyncio.subprocess.Process, text: str) -> str:
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        if text in line:
            return line
    raise AssertionError(f"the process ended without a line with {text!r}")
