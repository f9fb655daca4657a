"""An ordinary day of calls, as blocks of Prometheus' storage.

A fresh Prometheus knows no calls before a fault: the share of failed calls of the last day would be that of a few
seconds. With this history the long windows are as long as their names say.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamflow_monitoring.programs import PROMTOOL, program

_TIMEOUT_S = 120.0
_METHOD = "GetUserFeatures"
_CODES = ("OK",)
_BOUNDS = ("0.02", "+Inf")


@dataclass(frozen=True, kw_only=True)
class OrdinaryDay:
    """Calls at a fixed rate, all answered within 20 ms, until now."""

    lasts_s: float
    every_s: float
    calls_per_s: float

    labels: Mapping[str, str]
    """The labels that Prometheus gives to what it scrapes: job and instance."""

    async def write(self, folder: Path) -> None:
        """Write the day as blocks into a folder of Prometheus' data. Raises ValueError with what promtool says."""
        text = folder.parent / "history.txt"
        text.write_text("".join(self._lines(time.time())), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            str(program(PROMTOOL)),
            *("tsdb", "create-blocks-from", "openmetrics", str(text), str(folder)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_TIMEOUT_S):
            output, _ = await process.communicate()
        if process.returncode:
            raise ValueError(f"promtool wrote no history: {output.decode(errors='replace')}")

    def _lines(self, until_s: float) -> Iterator[str]:
        samples = round(self.lasts_s / self.every_s)
        stamps = [
            (until_s - (samples - number) * self.every_s, number * self.every_s * self.calls_per_s)
            for number in range(samples + 1)
        ]
        common = {**self.labels, "method": _METHOD}
        yield "# TYPE gateway_calls counter\n"
        for code in _CODES:
            yield from _series("gateway_calls_total", {**common, "code": code}, stamps)
        yield "# TYPE gateway_call_duration_seconds histogram\n"
        for bound in _BOUNDS:
            yield from _series("gateway_call_duration_seconds_bucket", {**common, "le": bound}, stamps)
        yield from _series("gateway_call_duration_seconds_count", common, stamps)
        yield "# EOF\n"


def _series(name: str, labels: Mapping[str, str], stamps: list[tuple[float, float]]) -> Iterator[str]:
    written = ",".join(f'{label}="{value}"' for label, value in labels.items())
    for stamp_s, value in stamps:
        yield f"{name}{{{written}}} {value:g} {stamp_s:.3f}\n"
