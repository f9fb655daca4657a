"""The gateway as a process of its own."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

from feature_gateway.settings import Settings

TIMEOUT_S = 30
_ADDRESSES = re.compile(r"serving: grpc=(\S+) http=(\S+) admin=(\S+) ")


@dataclass(frozen=True)
class GatewayProcess:
    """A gateway that listens; its standard error is read by `line_with`."""

    process: asyncio.subprocess.Process
    grpc: str
    http: str
    admin: str

    @property
    def http_url(self) -> str:
        return f"http://{self.http}"

    @property
    def admin_url(self) -> str:
        return f"http://{self.admin}"

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
    set_here = {
        setting.metadata["variable"]: _text(value)
        for setting in fields(settings)
        if (value := getattr(settings, setting.name)) != setting.default
    }
    return {"PATH": os.environ["PATH"], **set_here}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


@asynccontextmanager
async def gateway_process(
    settings: Settings, *, variables: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[GatewayProcess]:
    """Start a gateway and wait until it listens; kill it at the end unless it has ended."""
    process = await asyncio.create_subprocess_exec(
        command(), env=environment(settings) | {**variables}, stderr=asyncio.subprocess.PIPE
    )
    try:
        found = _ADDRESSES.search(await _line_with(process, "serving: "))
        assert found is not None
        yield GatewayProcess(process, *found.groups())
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
