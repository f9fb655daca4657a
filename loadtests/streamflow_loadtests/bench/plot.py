"""A run's figures as a plot."""

from pathlib import Path
from typing import TYPE_CHECKING

from streamflow_loadtests.bench.figures import Spread, spreads
from streamflow_loadtests.bench.result import Result
from streamflow_loadtests.bench.workloads import Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_IN = 5.5
_HEIGHT_IN = 12.0
_STACK = {
    "feature_server_cpu_s_per_1000": ("feature server", "tab:blue"),
    "gateway_cpu_s_per_1000": ("gateway", "tab:orange"),
    "valkey_cpu_s_per_1000": ("Valkey", "tab:red"),
    "other_cpu_s_per_1000": ("other", "tab:green"),
    "client_cpu_s_per_1000": ("load client", "lightgrey"),
}


def draw(result: Result, path: Path) -> None:
    """Draw throughput, latency and CPU time against callers, a column for each number of users a call; PNG or SVG."""
    # Loading it takes a second, and only the end of a run needs it.
    from matplotlib.figure import Figure  # noqa: PLC0415

    batches = sorted({workload.users for workload in result.settings.workloads if not workload.apart}) or [1]
    figure = Figure(figsize=(_WIDTH_IN * len(batches), _HEIGHT_IN), layout="constrained")
    rows = figure.subplots(3, len(batches), squeeze=False)
    for column, users in enumerate(batches):
        workloads = [
            workload for workload in result.settings.workloads if workload.users == users and not workload.apart
        ]
        _throughput(rows[0][column], result, workloads)
        _latency(rows[1][column], result, workloads)
        _cpu(rows[2][column], result, workloads)
        rows[0][column].set_title("1 user a call" if users == 1 else f"{users} users a call")
    figure.suptitle(f"{result.machine.cores} cores of {result.machine.processor}, load client included")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _throughput(axes: "Axes", result: Result, workloads: list[Workload]) -> None:
    for number, arm in enumerate(result.arms):
        points = _points(result, arm.name, workloads, "vectors_per_s")
        if points:
            callers = [workload.callers for workload, _ in points]
            middle = [spread.median for _, spread in points]
            axes.plot(callers, middle, marker="o", color=f"C{number}", label=arm.name)
            low, high = [spread.low for _, spread in points], [spread.high for _, spread in points]
            axes.fill_between(callers, low, high, color=f"C{number}", alpha=0.15, linewidth=0)
    axes.set_ylabel("feature vectors/s")
    _by_callers(axes, workloads)


def _latency(axes: "Axes", result: Result, workloads: list[Workload]) -> None:
    for number, arm in enumerate(result.arms):
        for name, label, style in (("p50_ms", "p50", "-"), ("p99_ms", "p99", ":")):
            points = _points(result, arm.name, workloads, name)
            if points:
                callers = [workload.callers for workload, _ in points]
                middle = [spread.median for _, spread in points]
                axes.plot(callers, middle, marker="o", linestyle=style, color=f"C{number}", label=f"{arm.name} {label}")
    axes.set_ylabel("ms")
    _by_callers(axes, workloads)


def _by_callers(axes: "Axes", workloads: list[Workload]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415

    callers = [workload.callers for workload in workloads]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(callers, [str(count) for count in callers])
    axes.set_xlabel("callers")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.grid(alpha=0.3)
    if axes.has_data():
        axes.legend(fontsize="small")


def _cpu(axes: "Axes", result: Result, workloads: list[Workload]) -> None:
    bars = [
        (f"{arm.name}\n{workload.callers}", spreads(result.cells, arm=arm.name, workload=workload))
        for workload in workloads
        for arm in result.arms
    ]
    bars = [(label, found) for label, found in bars if found["calls"] is not None]
    below = [0.0] * len(bars)
    for name, (label, color) in _STACK.items():
        heights = [0.0 if (spread := found[name]) is None else spread.median for _, found in bars]
        axes.bar(range(len(bars)), heights, bottom=below, color=color, label=label)
        below = [start + height for start, height in zip(below, heights, strict=True)]
    axes.set_xticks(range(len(bars)), [label for label, _ in bars], fontsize="xx-small")
    axes.set_ylabel("CPU s for 1,000 feature vectors")
    axes.set_xlabel("arm and callers")
    axes.legend(fontsize="small")


def _points(result: Result, arm: str, workloads: list[Workload], name: str) -> list[tuple[Workload, Spread]]:
    found = ((workload, spreads(result.cells, arm=arm, workload=workload)[name]) for workload in workloads)
    return [(workload, spread) for workload, spread in found if spread is not None]
