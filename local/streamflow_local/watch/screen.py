"""The figures as tables for a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streamflow_local.watch.figures import Figures
from streamflow_local.watch.processes import ProcessLook

_UNITS_S = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_SLOW_S = 0.020
"""The objective of 99 % of GetUserFeatures."""

NOTHING = "-"
"""Stands for a figure that there is not: nothing was called, or nothing runs."""


def screen(
    looks: Sequence[ProcessLook], cores: Mapping[str, float], found: Figures | None, *, reason: str, over_s: float
) -> RenderableType:
    """Return all that is shown; without figures, `reason` says why there are none.

    `cores` is the CPU that each process used, by name.
    """
    parts: list[RenderableType] = [_processes(looks, cores)]
    if found is None:
        parts.append(Text(f"\nno figures of the gateway: {reason}", style="red"))
    else:
        parts += [Text(""), _calls(found, over_s), Text(""), _servers(found), Text(""), _views(found)]
    return Group(*parts)


def _processes(looks: Sequence[ProcessLook], cores: Mapping[str, float]) -> Table:
    table = _table("process", "state", "pid", "port", "cores", "MB", "up")
    for look in looks:
        used = cores.get(look.name)
        table.add_row(
            look.name,
            Text(look.state, style="" if look.state == "RUNNING" else "bold red"),
            str(look.pid or NOTHING),
            str(look.port or "socket"),
            NOTHING if used is None else f"{used:.2f}",
            NOTHING if look.memory_bytes is None else f"{look.memory_bytes / 1e6:.0f}",
            _time(look.up_s),
        )
    return table


def _calls(found: Figures, over_s: float) -> Table:
    table = _table(f"last {over_s:.0f} s", "", first_right=False)
    table.add_row("gateway", Text("ready") if found.ready else Text("not ready", style="bold red"))
    table.add_row("calls a second", f"{found.calls_per_s:,.1f}")
    errors = ", ".join(f"{rate:.1f} {reason}" for reason, rate in found.errors_per_s.items())
    table.add_row("errors a second", Text(errors or "none", style="red" if errors else ""))
    table.add_row("GetUserFeatures p50", _ms(found.p50_s))
    table.add_row("GetUserFeatures p99", Text(_ms(found.p99_s), style="red" if (found.p99_s or 0) > _SLOW_S else ""))
    table.add_row("queue", f"{found.queued_calls:,} of {found.max_queued_calls:,} rows wait")
    table.add_row("slots", f"{found.slots_taken} of {found.slots} taken")
    return table


def _servers(found: Figures) -> Table:
    table = _table("feature server", "reads a second", "")
    for url, server in found.feature_servers.items():
        state = Text("ejected", style="bold red") if server.ejected else Text("in use")
        table.add_row(url, f"{server.reads_per_s:,.1f}", state)
    return table


def _views(found: Figures) -> Table:
    table = _table("feature view", "median age", "not found")
    for name, view in found.views.items():
        table.add_row(name, _time(view.age_s), NOTHING if view.not_found is None else f"{view.not_found:.1%}")
    return table


def _table(*names: str, first_right: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(names):
        numeric = first_right and number > 0 and name not in {"state", ""}
        table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    return table


def _ms(duration_s: float | None) -> str:
    return NOTHING if duration_s is None else f"{1000 * duration_s:.1f} ms"


def _time(duration_s: float | None) -> str:
    if duration_s is None:
        return NOTHING
    size, unit = next((pair for pair in _UNITS_S if duration_s >= pair[0]), _UNITS_S[-1])
    return f"{duration_s / size:.0f} {unit}"
