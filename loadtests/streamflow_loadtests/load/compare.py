"""Compares the targets fairly: one after another on a quiet stack, at one rate, and then up to what each can hold."""

import json
import math
import os
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamflow_loadtests.load import plot, verdict
from streamflow_loadtests.load.options import TARGETS, addresses
from streamflow_loadtests.load.security import Security
from streamflow_loadtests.load.serving import Serving
from streamflow_loadtests.load.verdict import LOCUST, SERVERS, Held, Measured

_RATE = 100.0
_RUN_TIME_S = "10"
_STEP_S = "4"
_GROWTH = 2.0
_NEAR = 1.2
"""The rate that a target holds and the one that it does not are at most so many times apart in the end."""

_STEADY = ("single", "batch", "mixed", "hot-keys", "unknown")


class Comparison:
    """Runs of locust, each with one target; options that the comparison does not read are passed on to all."""

    def __init__(self, given: Sequence[str], folder: Path) -> None:
        """Read the command line; reports go to `folder`, those of a target to a folder of the target's name."""
        parser = ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("--targets", default=",".join(TARGETS))
        parser.add_argument("--rate", type=float, default=_RATE)
        parser.add_argument("--scenario", default="single")
        parser.add_argument("--run-time", "-t")
        parser.add_argument("--step-time", default=_STEP_S)
        parser.add_argument("--most", type=float, default=math.inf)
        parser.add_argument(
            "--gateway-http", default=os.environ.get("LOAD_GATEWAY_HTTP") or addresses(os.environ)["http"]
        )
        self._own, self._given = parser.parse_known_args(given)
        self._folder = folder
        self._security = Security.of(os.environ)
        self.gateway_http: str = self._own.gateway_http
        """Where the gateway's metrics are read."""

    def run(self) -> int:
        """Compare, print the table, write it and its plot, and return the exit code. Raises OSError."""
        measured: list[Measured] = []
        steady = self._own.scenario in _STEADY
        run_time = self._own.run_time or (_RUN_TIME_S if steady else None)
        codes = []
        for target in self._own.targets.split(","):
            print(f"\n{target}", flush=True)  # noqa: T201  # the command's output
            before = Serving.now(self.gateway_http, self._security)
            code, summary = self._locust(target, self._own.rate, run_time, self._folder / target)
            used = Serving.now(self.gateway_http, self._security).since(before)
            codes.append(code if summary else max(code, 1))
            if summary is None:
                continue
            held = self._held(target) if steady and self._own.rate and code == 0 else None
            measured.append(Measured.of(target, summary, used, held=held))
        if not measured:
            return max(codes)
        lines = list(verdict.lines(measured, rate=self._own.rate))
        print("", *lines, sep="\n", flush=True)  # noqa: T201
        found = {"rate": self._own.rate, "scenario": self._own.scenario, "lines": lines}
        found["targets"] = [asdict(each) for each in measured]
        (self._folder / "compare.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        plot.compare(measured, self._folder / "compare.png", title=lines[0], conclusion=verdict.conclusion(measured))
        return max(codes)

    def _held(self, target: str) -> Held:
        """Return the highest rate that passes: it doubles until one fails, and then the gap between both is halved."""
        good, bad, limit = self._own.rate, 0.0, "--most"
        while (not bad or bad > good * _NEAR) and good < self._own.most:
            rate = round((good * bad) ** 0.5 if bad else min(good * _GROWTH, self._own.most))
            if rate in {good, bad}:
                break
            code, summary = self._locust(target, rate, self._own.step_time, self._folder / target / "step")
            if summary is None:
                break
            if code == 0 and not summary["generator_late"]:
                good = rate
            else:
                bad, limit = rate, LOCUST if summary["generator_late"] else SERVERS
            print(f"  {rate:,} calls/s: {'held' if good == rate else f'not held by {limit}'}", flush=True)  # noqa: T201
        return Held(calls_per_s=good, limit=limit)

    def _locust(
        self, target: str, rate: float, run_time_s: str | None, folder: Path
    ) -> tuple[int, dict[str, Any] | None]:
        """Return the exit code of a run, and its summary; None when the run did not come to one."""
        summary = folder / "summary.json"
        summary.unlink(missing_ok=True)
        shown = None if folder.name == target else subprocess.DEVNULL
        options = ("--scenario", self._own.scenario, "--gateway-http", self.gateway_http, "--rate", str(rate))
        length = ("--run-time", run_time_s) if run_time_s else ()
        command = (sys.executable, "-m", "streamflow_loadtests.load", *self._given, "--targets", target)
        arguments = (*command, *options, *length, "--into", str(folder))
        with subprocess.Popen(arguments, stdout=shown, stderr=shown) as run:  # noqa: S603  # this package's command
            try:
                code = run.wait()
            except KeyboardInterrupt:
                run.send_signal(signal.SIGTERM)
                raise
        return code, json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else None
