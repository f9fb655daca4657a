"""A load by h2load, of nghttp2: as many processes as callers, with a connection and a user each."""

import asyncio
import re
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import psutil

from streamflow_loadtests.bench.load import Load, Window
from streamflow_loadtests.bench.workloads import Workload
from streamflow_loadtests.callers.calls import Request

COMMAND = "h2load"

# All processes begin within this time of a line on their standard input. Without that line, processes that have begun
# would delay the start of the others.
_START_S = 1.0
_ON_A_LINE = ("sh", "-c", 'read -r _ && exec "$@"', "sh")
_GRPC = ("-H", "te: trailers", "-H", "content-type: application/grpc")
_HTTP = ("--h1", "-H", "content-type: application/json")
_FAILED = re.compile(r"(\d+) failed, (\d+) errored, (\d+) timeout")
_DATA = re.compile(r"\((\d+)\) data\s*$", re.MULTILINE)
_OK = "200"


@dataclass(frozen=True)
class _Process:
    process: asyncio.subprocess.Process
    log: Path
    reply_bytes: int

    def begin(self) -> None:
        """Have the process load the server."""
        if self.process.stdin is not None:
            self.process.stdin.write(b"\n")


class H2load:
    """h2load sends one body again and again: each process has a user of its own, and a new one in each round."""

    def __init__(
        self, port: int, request: Callable[[Sequence[str]], Request], users: Sequence[str], work: Path, *, is_grpc: bool
    ) -> None:
        """Creates a load of what `request` makes for one user; files are written to `work`."""
        self._url = f"http://127.0.0.1:{port}"
        self._request = request
        self._users = users
        self._work = work
        self._is_grpc = is_grpc

    async def run(self, workload: Workload, window: Window, *, warm_up_s: float, duration_s: float, seed: int) -> Load:
        """Run the processes; calls that begin and end while the window is open count."""
        users = [self._users[(seed * workload.callers + place) % len(self._users)] for place in range(workload.callers)]
        requests = [self._request([user_id]) for user_id in users]
        sizes = await self._reply_bytes(requests)
        lasts_s = _START_S + warm_up_s + duration_s + _START_S
        asked = zip(requests, sizes, strict=True)
        started = [await self._start(each, size, number, lasts_s) for number, (each, size) in enumerate(asked)]
        for each in started:
            each.begin()
        await asyncio.sleep(_START_S + warm_up_s)
        window.open([psutil.Process(each.process.pid) for each in started])
        opened_us = time.time() * 1e6
        await asyncio.sleep(duration_s)
        window.close()
        closed_us = time.time() * 1e6
        latencies_s: list[float] = []
        ended = sum(each.process.returncode is not None for each in started)
        failures = [f"{ended} processes of h2load ended ahead of the measurement"] if ended else []
        for each in started:
            output = (await each.process.communicate())[0].decode(errors="replace")
            rows = [line.split("\t") for line in each.log.read_text(encoding="utf-8").splitlines()]
            failures += faults(output, rows, reply_bytes=each.reply_bytes)
            spans = [(float(start), float(took)) for start, _, took, *_ in rows]
            latencies_s += [took / 1e6 for start, took in spans if start >= opened_us and start + took <= closed_us]
        return Load.of(latencies_s, elapsed_s=(closed_us - opened_us) / 1e6, failures=failures)

    async def close(self) -> None:
        """Do nothing: a run ends with its processes."""

    async def _start(self, request: Request, reply_bytes: int, number: int, lasts_s: float) -> _Process:
        body, log = self._work / f"h2load-{number}.bin", self._work / f"h2load-{number}.log"
        framed = struct.pack(">xI", len(request.body)) + request.body if self._is_grpc else request.body
        body.write_bytes(framed)
        log.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(*_ON_A_LINE, COMMAND, "-D", f"{lasts_s * 1000:.0f}ms", "-d", str(body), f"--log-file={log}"),
            *(_GRPC if self._is_grpc else _HTTP),
            self._url + request.path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return _Process(process, log, reply_bytes)

    async def _reply_bytes(self, requests: Sequence[Request]) -> list[int]:
        """Return the size of each reply: h2load knows HTTP's status, not gRPC's, and counts bytes."""
        async with AsyncExitStack() as stack:
            if self._is_grpc:
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(self._url.removeprefix("http://")))
                # Without serializers gRPC takes bytes and gives bytes; h2load counts the message's head too.
                calls: list[Any] = [channel.unary_unary(each.path) for each in requests]
                return [5 + len(await call(each.body)) for call, each in zip(calls, requests, strict=True)]
            session = await stack.enter_async_context(
                aiohttp.ClientSession(headers={"content-type": "application/json"})
            )
            sizes = []
            for each in requests:
                async with session.post(self._url + each.path, data=each.body) as reply:
                    sizes.append(len(await reply.read()))
            return sizes


def faults(output: str, rows: Sequence[Sequence[str]], *, reply_bytes: int) -> list[str]:
    """Return what is wrong with a process's calls, by what it has printed and by its log's rows."""
    failed, data = _FAILED.search(output), _DATA.search(output)
    if failed is None or data is None or not rows:
        return [f"h2load said {output[-500:]!r}"]
    if any(map(int, failed.groups())) or any(status != _OK for _, status, *_ in rows):
        return [f"calls of h2load failed: {failed[0]}"]
    # The last reply may be on its way.
    if abs(int(data[1]) - len(rows) * reply_bytes) > reply_bytes:
        return [f"{len(rows)} replies of {reply_bytes} bytes would not be {data[1]} bytes"]
    return []
