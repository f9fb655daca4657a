"""The root README's plot, of a run's bench.json."""

import json
from pathlib import Path
from typing import Any

_ARMS = {
    "gateway": ("gateway + feast serve", "tab:orange"),
    "feast-go": ("Feast's Go server", "tab:red"),
    "tuned": ("feast serve, tuned", "tab:green"),
    "listen": ("feast listen (gRPC)", "tab:purple"),
    "stock": ("feast serve, defaults", "tab:blue"),
}
_PANELS = {"calls_per_s": "calls/s (more is better)", "p99_ms": "p99 in ms (less is better)"}


def draw(source: Path, path: Path) -> None:
    """Write an SVG of calls/s and p99 against concurrent callers, one user a call; medians of the run's rounds."""
    from matplotlib import rc_context  # noqa: PLC0415  # takes a second
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415

    run: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    single = [spread for spread in run["spreads"] if spread["users"] == 1 and not spread.get("apart")]
    callers = sorted({spread["callers"] for spread in single})
    # Text stays text, and ids depend on the drawing alone, so that the file is small and equal data give equal bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "summary", "font.size": 9}):
        figure = Figure(figsize=(8.0, 3.2), layout="constrained")
        for axes, (name, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
            for arm, (label, color) in _ARMS.items():
                found = {spread["callers"]: spread[name] for spread in single if spread["arm"] == arm}
                # A p99 of too few calls is none.
                medians = {count: figure["median"] for count, figure in found.items() if figure}
                if medians:
                    known = [count for count in callers if count in medians]
                    axes.plot(known, [medians[count] for count in known], marker="o", color=color, label=label)
            axes.set_title(title)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(callers, [str(count) for count in callers])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter("{x:,g}")
            axes.set_xlabel("concurrent callers")
            axes.grid(alpha=0.3)
        figure.legend(
            handles=figure.axes[0].get_lines(),
            loc="outside lower center",
            ncols=len(figure.axes[0].get_lines()),
            frameon=False,
        )
        figure.savefig(path, metadata={"Date": None, "Creator": None})
