"""A load by a Go caller, which is a process of its own."""

import asyncio
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from streamflow_loadtests.bench.load import Load, Window
from streamflow_loadtests.bench.workloads import Workload
from streamflow_loadtests.callers.calls import Values

GO_CALLER = "GO_CALLER"
"""The environment variable with the Go caller's path."""

_GO_LINE = re.compile(
    r"(?P<rate>[\d.]+) calls/s +p50 +(?P<p50>[\d.]+) p95 +[\d.]+ p99 +(?P<p99>[\d.]+) p99\.9 +(?P<p999>[\d.]+) ms"
    r".*errors map\[(?P<errors>.*)\]"
)


class GoCaller:
    """Goroutines of the program that GO_CALLER names, one user a call; it counts the features of each reply."""

    def __init__(self, mode: str, port: int, answers: Mapping[str, Values], work: Path) -> None:
        """Creates a load by the program's `-arm mode`; the file of user ids is written to `work`."""
        self._mode = mode
        self._port = port
        # A server answers for users of its own: `echo` for one alone.
        self._users = work / f"users-{port}.txt"
        self._users.write_text("\n".join(answers), encoding="utf-8")

    async def run(self, workload: Workload, window: Window, *, warm_up_s: float, duration_s: float, seed: int) -> Load:  # noqa: ARG002  # the program draws by the clock
        """Run the program; the window is open while it counts calls."""
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(os.environ[GO_CALLER], "-arm", self._mode, "-addr", f"127.0.0.1:{self._port}", "-v"),
            *("-c", str(workload.callers), "-conns", str(workload.callers if workload.apart else 1)),
            *("-w", f"{warm_up_s}s", "-d", f"{duration_s}s", "-users", str(self._users)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = asyncio.create_task(process.communicate())
        await asyncio.sleep(began + warm_up_s - time.perf_counter())
        window.open([psutil.Process(process.pid)])
        await asyncio.sleep(began + warm_up_s + duration_s - time.perf_counter())
        window.close()
        return go_load((await output)[0].decode(errors="replace"), duration_s=duration_s)

    async def close(self) -> None:
        """Do nothing: a run ends with its process."""


def go_load(output: str, *, duration_s: float) -> Load:
    """Return the figures that the Go caller has printed."""
    found = _GO_LINE.search(output)
    if found is None:
        return Load.of([], elapsed_s=duration_s, failures=[f"the Go caller said {output[-500:]!r}"])
    calls = round(float(found["rate"]) * duration_s)
    # By the rule of Load.of: no percentile that would be the longest call.
    p99_ms, p999_ms = (float(found[name]) if calls >= least else None for name, least in (("p99", 100), ("p999", 1000)))
    return Load(
        calls=calls,
        calls_per_s=float(found["rate"]),
        p50_ms=float(found["p50"]),
        p99_ms=p99_ms,
        p999_ms=p999_ms,
        max_ms=None,
        failures=[f"calls of the Go caller failed: {output[-500:]!r}"] if found["errors"] or not calls else [],
    )
