"""A run over time as a picture: latency, rate, failures; and targets beside each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from streamflow_loadtests.load.recorder import Recorder

if TYPE_CHECKING:
    from streamflow_loadtests.load.verdict import Measured

_SIZE_INCHES = (11, 9)


def write(recorder: Recorder, path: Path, *, title: str) -> None:
    """Write a PNG of each second's p50 and p99, calls and failed calls, a line for each kind of call."""
    names = recorder.names()
    first = min((min(recorder.by_second(name)) for name in names), default=0)
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    figure.suptitle(title)
    latency, rate, failures = figure.subplots(3, 1, sharex=True, height_ratios=[2, 1, 1])
    for number, name in enumerate(names):
        cells = recorder.by_second(name)
        seconds = [second - first for second in cells]
        colour = f"C{number}"
        for share, style in ((0.5, "-"), (0.99, "--")):
            latency.plot(seconds, [cell.durations.percentile(share) for cell in cells.values()], style, color=colour)
        rate.plot(seconds, [cell.calls for cell in cells.values()], color=colour, label=name)
        failures.plot(seconds, [cell.failed for cell in cells.values()], color=colour)
    if names:
        latency.set_yscale("log")
        latency.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        latency.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        latency.yaxis.set_minor_formatter(NullFormatter())
        figure.legend(loc="outside lower center", ncols=3)
    failures.set_ylim(top=max(failures.get_ylim()[1], 1))
    for axes, label in ((latency, "ms: p50, and p99 dashed"), (rate, "calls/s"), (failures, "failed calls/s")):
        _label(axes, label)
    failures.xaxis.set_major_locator(MaxNLocator(integer=True))
    failures.set_xlabel("seconds since the first call; a call counts in the second that it was due in")
    figure.savefig(path, dpi=110)


def _label(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.grid(visible=True, which="both", alpha=0.25)
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)


def compare(measured: "Sequence[Measured]", path: Path, *, title: str, conclusion: Sequence[str]) -> None:
    """Write a PNG of latency at one rate, of CPU time a call, of the rate that each holds, and of the conclusion."""
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    figure.suptitle(title)
    names = [each.name for each in measured]
    panels: tuple[tuple[str, Sequence[tuple[str, Sequence[float]]]], ...] = (
        ("ms a call", [("p50", [each.p50_ms for each in measured]), ("p99", [each.p99_ms for each in measured])]),
        (
            "CPU ms a call",
            [
                ("servers", [each.servers_cpu_ms or 0 for each in measured]),
                ("locust", [each.locust_cpu_ms or 0 for each in measured]),
            ],
        ),
        ("calls/s held", [("", [each.held.calls_per_s if each.held else 0 for each in measured])]),
    )
    for axes, (label_of_panel, series) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for number, (label, values) in enumerate(series):
            places = [place + number * 0.4 for place in range(len(names))]
            bars = axes.bar(places, values, 0.4, label=label or None)
            axes.bar_label(bars, fmt="{:,.3g}", fontsize="small")
        axes.set_xticks([place + 0.2 * (len(series) - 1) for place in range(len(names))], names, fontsize="x-small")
        axes.set_title(label_of_panel)
        if len(series) > 1:
            axes.legend(fontsize="small")
    figure.supxlabel("\n".join(conclusion), fontsize="small", wrap=True)
    figure.savefig(path, dpi=110)
