"""`python -m streamflow_loadtests.bench.documented`: writes a run as the tables of docs/performance.md and as its plot.

The run is docs/benchmark/bench.json, and the plot the root README's. Call it in the root of the checkout.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamflow_loadtests.bench.figures import Spread
from streamflow_loadtests.bench.summary import draw
from streamflow_loadtests.bench.tables import markdown_lines, number_text, spread_text

DOCUMENT = Path("docs/performance.md")
FIGURES = Path("docs/benchmark/bench.json")
PLOT = Path("docs/benchmark/summary.svg")

_TABLE = re.compile(r"(<!-- table (\w+) -->\n)(?:.*\n)*?(<!-- end -->)")
_ALL_CPU = "server_cpu_s_per_1000"
_Run = Mapping[str, Any]

_SERVERS = {
    "stock": "`feast serve`",
    "tuned": "`feast serve` with the stack's flags (`tuned`)",
    "listen": "`feast listen`",
    "server": "the stack's feature server alone",
    "feast-go": "Feast's Go server",
    "gateway": "gateway",
    "gateway-native": "gateway, engine `native`",
    "gateway-stock": "gateway in front of `feast serve`",
    "gateway-tuned": "gateway in front of `tuned`",
    "gateway-stock-native": "gateway, engine `native`, in front of `feast serve`",
    "gateway-tuned-native": "gateway, engine `native`, in front of `tuned`",
    "echo": "a bare grpc.aio server with one constant reply",
}
_CLIENTS = {
    "client": "the project's client, which merges its calls",
    "unmerged": "the project's client, `merge_calls=False`",
    "threads": "the project's sync client, callers as threads",
    "grpc.aio": "grpc.aio",
    "feast-stub": "grpc.aio, Feast's stub",
    "aiohttp": "aiohttp",
    "go": "a Go caller, no calls merged",
    "go-merged": "a Go caller, which merges its calls",
    "h2load": "h2load, a process for each caller",
}
_CLIENT_OF = {"stock": "aiohttp", "tuned": "aiohttp", "server": "aiohttp", "listen": "grpc.aio", "feast-go": "grpc.aio"}
_SUMMARY = {"stock": "`feast serve`", "feast-go": "Feast's Go server", "gateway": "with the gateway"}


def tables(run: _Run) -> Mapping[str, str]:
    """Return the document's tables by name, in Markdown, of a run's bench.json."""
    made: Mapping[str, Callable[[_Run], list[Sequence[str]]]] = {
        "callers": _by_callers,
        "arms": lambda run: _by_arm(run, users=1, callers=64, apart=False),
        "apart": lambda run: _by_arm(run, users=1, callers=64, apart=True),
        "batches": lambda run: _by_arm(run, users=100, callers=16, apart=False),
        "targets": _targets,
        "cpu": _cpu,
    }
    return {name: _text(make(run)) for name, make in made.items()}


def filled(text: str, found: Mapping[str, str]) -> str:
    """Return a document with its tables' marked places filled; raise KeyError for a table that is not there."""
    return _TABLE.sub(lambda place: place[1] + found[place[2]] + place[3], text)


def _by_callers(run: _Run) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("concurrent callers", "", "calls/s", "p50 ms", "p99 ms", "server CPU ms a call")]
    for callers in sorted({spread["callers"] for spread in run["spreads"]}):
        for arm, name in _SUMMARY.items():
            for spread in _spreads(run, arm=arm, users=1, callers=callers, apart=False):
                figures = (_median(spread, figure) for figure in ("calls_per_s", "p50_ms", "p99_ms", _ALL_CPU))
                rows.append((str(callers), name, *figures))
    return rows


def _by_arm(run: _Run, **workload: int) -> list[Sequence[str]]:
    unit = "calls/s" if workload["users"] == 1 else "users/s"
    rows: list[Sequence[str]] = [
        ("server", "client", unit, "p50 ms", "p99 ms", "CPU ms a user, all servers and Valkey")
    ]
    for arm in run["arms"]:
        server, _, client = arm.partition(":")
        names = (_SERVERS.get(server, f"`{server}`"), _CLIENTS[client or _CLIENT_OF.get(server, "client")])
        for spread in _spreads(run, arm=arm, **workload):
            figures = (_median(spread, figure) for figure in ("p50_ms", "p99_ms", _ALL_CPU))
            rows.append((*names, spread_text(Spread(**spread["vectors_per_s"])), *figures))
    return rows


def _targets(run: _Run) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("what", "of", "callers", "users a call", "against", "target", "got", "")]
    for target in run["targets"]:
        where = (f"`{target['of']}`", str(target["callers"]), str(target["users"]), f"`{target['against']}`")
        got, held = "not measured", ""
        if target["got"] is not None:
            got, held = spread_text(Spread(**target["got"])), "held" if target["reached"] else "not held"
        rows.append((target["what"], *where, f"{target['bound']} {target['limit']}", got, held))
    return rows


def _cpu(run: _Run) -> list[Sequence[str]]:
    spreads = sorted(_spreads(run, arm="gateway", users=1, apart=False), key=lambda spread: int(spread["callers"]))
    parts = {
        "feature server": "feature_server_cpu_s_per_1000",
        "gateway": "gateway_cpu_s_per_1000",
        "Valkey": "valkey_cpu_s_per_1000",
        "the callers' process": "client_cpu_s_per_1000",
    }
    header = ("CPU ms a call, the project's client", *(f"{spread['callers']} callers" for spread in spreads))
    return [header, *((part, *(_median(spread, figure) for spread in spreads)) for part, figure in parts.items())]


def _spreads(run: _Run, **which: object) -> list[_Run]:
    return [spread for spread in run["spreads"] if which.items() <= spread.items()]


def _median(spread: _Run, figure: str) -> str:
    return "-" if spread[figure] is None else number_text(spread[figure]["median"])


def _text(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    return "".join(f"{line}\n" for line in markdown_lines(header, body))


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8"), tables(json.loads(FIGURES.read_bytes()))), "utf-8")
    draw(FIGURES, PLOT)
