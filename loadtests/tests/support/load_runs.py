"""locust, run as `make load` runs it, on a real gateway before a feature server that answers as a test says."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from aiohttp import web
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from gateway_fakes import (
    NEVER_WRITTEN,
    FakeFeatureServer,
    feast_answer,
    gateway_settings,
    running_feature_server,
    written_contract,
)
from gateway_process import GatewayProcess, gateway_process

_LOAD = str(Path(sys.executable).parent / "load")
RUN_TIMEOUT_S = 240
"""Within which a run ends."""

STORED_USERS = [f"{number:04}-ABCDE" for number in range(50)]
# What the machine is busy with is not what these tests are about.
PATIENT = ("--max-p99-ms", "60000", "--timeout-ms", "10000")


@dataclass(frozen=True)
class Ended:
    """A run that is over."""

    code: int
    text: str
    folder: Path

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of all summaries, those of single targets too."""
        paths = (*self.folder.glob("summary.json"), *self.folder.glob("*/summary.json"))
        return {row["name"]: row for path in paths for row in json.loads(path.read_text())["rows"]}


class Load:
    """`load`, with the environment that `make load` gives it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder / "load"
        # Locust leaves its CSV files open when a run ends before it begins.
        warnings = "error,ignore::ResourceWarning"
        self.environment = {**os.environ, **environment, "STREAMFLOW_STATE": str(folder), "PYTHONWARNINGS": warnings}

    async def start(self, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(
            _LOAD, *arguments, env=self.environment, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=STDOUT
        )

    async def end(self, process: Process) -> Ended:
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Ended(process.returncode, output.decode(), self.folder)

    async def run(self, *arguments: str) -> Ended:
        ended = await self.end(await self.start(*arguments))
        assert "Traceback" not in ended.text, ended.text
        assert "Warning" not in ended.text, ended.text
        return ended


@pytest.fixture
def stored_users(redis_url: str) -> Iterator[str]:
    """The URL of an online store that has the users."""
    url = f"{redis_url}/9"
    with redis.Redis.from_url(url) as client:
        for user_id in STORED_USERS:
            key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])
            client.hset(_redis_key("streamflow", key, 3), "feature", "value")
        yield url
        client.flushdb()


@pytest.fixture
async def feature_server() -> AsyncIterator[FakeFeatureServer]:
    async with running_feature_server() as running:
        running.answer = answer
        yield running


async def answer(request: web.Request) -> web.Response:
    """Answer as Feast does, for the users that the store has, and with nothing for all others."""
    body = await request.json()
    said = feast_answer(body)
    unknown = [row for row, user_id in enumerate(body["entities"]["user_id"]) if user_id not in STORED_USERS]
    for name, column in zip(said["metadata"]["feature_names"], said["results"], strict=True):
        for row in unknown if name != "user_id" else ():
            column["values"][row], column["event_timestamps"][row] = None, NEVER_WRITTEN
    return web.json_response(said)


@pytest.fixture
async def load(tmp_path: Path, feature_server: FakeFeatureServer, stored_users: str) -> AsyncIterator[Load]:
    async with gateway_process(gateway_settings(feature_server, written_contract(tmp_path))) as gateway:
        yield Load(tmp_path, environment_of(gateway, feature_server, stored_users))


def environment_of(gateway: GatewayProcess, feature_server: FakeFeatureServer, redis_url: str) -> dict[str, str]:
    return {
        "REDIS_URL": redis_url,
        "GATEWAY_GRPC_PORT": gateway.grpc.split(":")[1],
        "GATEWAY_HTTP_PORT": gateway.http.split(":")[1],
        "LOAD_FEAST_HTTP": feature_server.url,
    }
