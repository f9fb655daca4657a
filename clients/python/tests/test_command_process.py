"""The command as a process: what `watch` prints, and how the command ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer

_USER = "3413-BMNZE"
_WITHIN_S = 60
_REFERENCES = ["--feature", "profile_fv:months_active", "--feature", "profile_fv:net_service"]
_WATCH = ["watch", "--interval-s", "0.05"]
Process = asyncio.subprocess.Process


@pytest.fixture
async def started(gateway: Gateway) -> AsyncIterator[Any]:
    """Starts a subcommand; `watch` is to be told how often to ask again."""
    processes: list[Process] = []

    async def start(subcommand: str, *arguments: str) -> Process:
        command = [sys.executable, "-m", "streamflow_features", subcommand, _USER, *_REFERENCES]
        connection = ["--target", gateway.addresses.grpc, "--timeout-s", "20"]
        process = await asyncio.create_subprocess_exec(
            *command,
            *connection,
            *arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # What the command says is all that there is to read.
            env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _answering(**values: Any) -> Any:
    async def answer(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        return web.json_response(
            feast_answer(body, values={f"profile_fv__{name}": one for name, one in values.items()})
        )

    return answer


async def _line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(_WITHIN_S):
        return (await process.stdout.readline()).decode()


async def _ended(process: Process) -> tuple[int, str]:
    assert process.stderr is not None
    async with asyncio.timeout(_WITHIN_S):
        said = await process.stderr.read()
        return await process.wait(), said.decode()


async def test_a_change_is_a_line_and_ctrl_c_is_the_end(started: Any, feature_server: FakeFeatureServer) -> None:
    feature_server.answer = _answering(months_active=1, net_service="DSL")
    process = await started(*_WATCH)
    first = [(await _line(process)).split()[:3] for _ in range(3)]
    assert first[1:] == [["months_active", "1", "PRESENT"], ["net_service", "DSL", "PRESENT"]]
    feature_server.answer = _answering(months_active=2, net_service="DSL")
    assert (await _line(process)).split()[1:6] == ["months_active", "1", "->", "2", "PRESENT"]
    feature_server.answer = _answering(months_active=2, net_service="a\nb")
    assert (await _line(process)).split()[1:6] == ["net_service", "DSL", "->", r"'a\nb'", "PRESENT"]
    process.send_signal(signal.SIGINT)
    assert await _ended(process) == (0, "")


async def test_json_is_one_line_for_each_state(started: Any, feature_server: FakeFeatureServer) -> None:
    feature_server.answer = _answering(months_active=1, net_service=None)
    process = await started(*_WATCH, "--json")
    assert json.loads(await _line(process))["features"] == {"months_active": 1, "net_service": None}
    feature_server.answer = _answering(months_active=2, net_service=None)
    assert json.loads(await _line(process))["features"] == {"months_active": 2, "net_service": None}
    process.send_signal(signal.SIGINT)
    assert await _ended(process) == (0, "")


async def test_an_outage_is_told_once_and_got_over(started: Any, feature_server: FakeFeatureServer) -> None:
    async def failing(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    feature_server.answer = _answering(months_active=1, net_service="DSL")
    process = await started(*_WATCH, "--json")
    await _line(process)
    feature_server.answer = failing
    async with asyncio.timeout(_WITHIN_S):
        said = (await process.stderr.readline()).decode()
    assert said.startswith("streamflow-features: UNAVAILABLE: ")
    feature_server.answer = _answering(months_active=2, net_service="DSL")
    assert json.loads(await _line(process))["features"]["months_active"] == 2
    process.send_signal(signal.SIGINT)
    assert await _ended(process) == (0, "")


async def test_a_reader_that_leaves_ends_the_command(started: Any, feature_server: FakeFeatureServer) -> None:
    feature_server.answer = _answering(months_active=1, net_service="DSL")
    process = await started(*_WATCH, "--json")
    await _line(process)
    process._transport.get_pipe_transport(1).close()
    feature_server.answer = _answering(months_active=2, net_service="DSL")
    assert await _ended(process) == (141, "")


async def test_the_first_calls_failure_ends_the_command(started: Any) -> None:
    process = await started(*_WATCH, "--feature", "profile_fv:nope")
    code, said = await _ended(process)
    assert (code, said.startswith("streamflow-features: NOT_FOUND: ")) == (69, True)


async def test_ctrl_c_ends_a_call_that_waits(started: Any, feature_server: FakeFeatureServer) -> None:
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def waiting(_request: web.Request) -> web.Response:
        arrived.set()
        await gate.wait()
        return web.Response(status=500)

    feature_server.answer = waiting
    process = await started("get")
    async with asyncio.timeout(_WITHIN_S):
        await arrived.wait()
    process.send_signal(signal.SIGINT)
    assert await _ended(process) == (130, "")
    gate.set()
