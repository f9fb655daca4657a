"""A run's result as files: Markdown, JSON, and a plot."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamflow_loadtests.bench.figures import Spread, ratios, spreads
from streamflow_loadtests.bench.plot import draw
from streamflow_loadtests.bench.result import Result, conditions
from streamflow_loadtests.bench.servers import GATEWAY
from streamflow_loadtests.bench.tables import markdown_lines, tables
from streamflow_loadtests.bench.targets import judged

PLOT = "bench.svg"


def write(result: Result, folder: Path) -> None:
    """Write bench.md, bench.json and PLOT into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.md").write_text(markdown(result), encoding="utf-8")
    (folder / "bench.json").write_text(json.dumps(as_json(result), indent=2) + "\n", encoding="utf-8")
    draw(result, folder / PLOT)


def markdown(result: Result) -> str:
    """Return the whole report as Markdown, beside which the plot is expected."""
    lines = [
        "# Benchmark",
        "",
        *(f"- {line}" for line in conditions(result)),
        "",
        *markdown_lines(["arm", "server and request"], [[arm.name, arm.what] for arm in result.arms]),
        "",
        f"![Throughput, latency and CPU time]({PLOT})",
    ]
    for table in tables(result):
        title = table.title[0].upper() + table.title[1:]
        lines += ["", f"## {title}", "", *markdown_lines(table.header, table.rows)]
    return "\n".join(lines) + "\n"


def as_json(result: Result) -> dict[str, Any]:
    """Return everything that was measured, for programs: cells, spreads, ratios round by round, and targets."""
    return {
        "plan": asdict(result.settings),
        "machine": asdict(result.machine),
        "users": result.users,
        "arms": {arm.name: arm.what for arm in result.arms},
        "skipped": dict(result.skipped),
        "cells": [
            {
                **_flat(asdict(cell)),
                "errors": 0,
                "vectors_per_s": cell.vectors_per_s,
                "server_cpu_s_per_1000": cell.server_cpu_s_per_1000,
            }
            for cell in result.cells
        ],
        "spreads": [
            {
                "arm": arm,
                **asdict(workload),
                **{
                    name: None if spread is None else asdict(spread)
                    for name, spread in spreads(result.cells, arm=arm, workload=workload).items()
                },
            }
            for workload, arm in result.measured()
        ],
        "ratios": [
            {
                "of": GATEWAY,
                "to": other,
                **asdict(workload),
                **{
                    name: {"rounds": values, **asdict(Spread.of(values))} if values else None
                    for name, values in ratios(result.cells, of=GATEWAY, to=other, workload=workload).items()
                },
            }
            for workload, other in result.measured()
            if other in result.others()
        ],
        "targets": [
            {
                **_flat(asdict(outcome.target)),
                "got": None if outcome.got is None else asdict(outcome.got),
                "reached": outcome.reached,
            }
            for outcome in judged(result.cells)
        ],
    }


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """Return a record with its workload's parts as its own."""
    return {**{name: value for name, value in found.items() if name != "workload"}, **found["workload"]}
