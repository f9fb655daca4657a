"""A run over time as a picture: latency, rate, failures."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from streamflow_loadtests.load.recorder import Recorder

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
