"""`python -m streamflow_loadtests.training_set`: prints rows per second and peak memory as a table."""

import os
import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from streamflow_offline.errors import JobError
from streamflow_repo.errors import SettingError

from streamflow_loadtests.training_set.arms import ARMS, HANDWRITTEN_SQL, PLAIN_FEAST, Measurement, measure
from streamflow_loadtests.training_set.data import Size, benchmark_database

_MEGABYTE = 1_000_000
_ENOUGH_S = 60.0
_progress = Console(stderr=True, highlight=False)
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def run(
    sizes: Annotated[list[str] | None, typer.Argument(help="USERSxMONTHS. Default: 7043x2 100000x12.")] = None,
    *,
    million: Annotated[bool, typer.Option("--million", help="Also run 1000000x12. This needs 15 GB of disk.")] = False,
    plain_max_rows: Annotated[
        int, typer.Option(help="The most rows for which get_historical_features(DataFrame) is run.")
    ] = 2_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each way. No further run starts after a minute.")] = 3,
    timeout_s: Annotated[float, typer.Option(help="The longest time for one run, in seconds.")] = 1800,
) -> None:
    """Build training sets in three ways, on new databases in POSTGRES_URL's server, and print what each way costs.

    Each run has its own process. The table shows the median run. The databases are dropped at the end.
    """
    postgres_url = os.environ.get("POSTGRES_URL")
    if not postgres_url:
        raise JobError("POSTGRES_URL must be set; with the local stack running, `. .local/env` sets it")
    table = Table("users x months", "way", "s", "rows/s", "peak MB", "rows/s to plain Feast", "rows/s to SQL", box=None)
    for size in _sizes([*(sizes or ("7043x2", "100000x12")), *(["1000000x12"] if million else [])]):
        with benchmark_database(postgres_url, size, on_progress=_tell) as url:
            found = {
                arm: "not run"
                if arm == PLAIN_FEAST and size.rows > plain_max_rows
                else _measured(arm, url, size, runs=runs, timeout_s=timeout_s)
                for arm in ARMS
            }
        for arm, result in found.items():
            table.add_row(str(size), arm, *_cells(result, found))
    _out.print(table)


def _measured(arm: str, url: str, size: Size, *, runs: int, timeout_s: float) -> Measurement | str:
    _tell(f"{size}: {arm}")
    results: list[Measurement] = []
    started = time.monotonic()
    while len(results) < runs and (not results or time.monotonic() - started < _ENOUGH_S):
        with TemporaryDirectory(prefix="training-set-benchmark-") as folder:
            result = measure(arm, url, Path(folder), timeout_s=timeout_s)
        if isinstance(result, str):
            return result
        results.append(result)
    return sorted(results, key=lambda result: result.duration_s)[len(results) // 2]


def _cells(result: Measurement | str, found: dict[str, Measurement | str]) -> list[str]:
    if isinstance(result, str):
        return [result]
    rate = result.rows / result.duration_s
    ratios = [
        f"{rate / (other.rows / other.duration_s):.2f}" if isinstance(other, Measurement) else "-"
        for other in (found[PLAIN_FEAST], found[HANDWRITTEN_SQL])
    ]
    return [f"{result.duration_s:,.1f}", f"{rate:,.0f}", f"{result.peak_bytes / _MEGABYTE:,.0f}", *ratios]


def _sizes(texts: list[str]) -> list[Size]:
    sizes = []
    for text in texts:
        match = re.fullmatch(r"(\d+)x(\d+)", text)
        if not match:
            raise JobError(f"{text!r} is not a size; write USERSxMONTHS, as in 7043x2")
        sizes.append(Size(users=int(match[1]), months=int(match[2])))
    return sizes


def _tell(text: str) -> None:
    _progress.print(text, markup=False)


def main() -> None:
    """Run the benchmark. A JobError ends it with its message, without a traceback."""
    try:
        typer.run(run)
    except (JobError, SettingError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
