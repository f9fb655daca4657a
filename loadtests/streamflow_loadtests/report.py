"""A run's result as a table, as Markdown, as JSON."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from statistics import median
from typing import Any, Self

from streamflow_loadtests.arms import GATEWAY, Arm
from streamflow_loadtests.measure import FIGURES, RATIOS, Cell, Spread, ratios, spreads
from streamflow_loadtests.run import Plan

_TITLES = {
    "calls_per_s": "calls/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "max_ms": "max ms",
    "server_cpu_s_per_1000": "server CPU s/1000",
    "client_cpu_s_per_1000": "client CPU s/1000",
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the run ran on."""

    cores: int

    load_average_1m: float
    """Before the run."""

    system: str
    versions: Mapping[str, str]

    @classmethod
    def here(cls) -> Self:
        """Return this machine as it is now."""
        return cls(
            cores=len(os.sched_getaffinity(0)),
            load_average_1m=round(os.getloadavg()[0], 2),
            system=f"{platform.system()} {platform.machine()}",
            versions={
                "python": platform.python_version(),
                **{name: version(name) for name in ("feast", "grpcio", "aiohttp", "feature-gateway")},
            },
        )


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run without faults."""

    plan: Plan
    machine: Machine
    arms: Sequence[Arm]
    cells: Sequence[Cell]

    def others(self) -> list[str]:
        """Return the arms that the gateway is compared with; none without the gateway."""
        names = [arm.name for arm in self.arms]
        return [name for name in names if name != GATEWAY] if GATEWAY in names else []

    @property
    def users(self) -> int:
        """How many users the calls were drawn from."""
        return max(len(arm.answers) for arm in self.arms)


@dataclass(frozen=True)
class Table:
    """A table of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def conditions(result: Result) -> list[str]:
    """Return the lines that say what the figures were measured on and how."""
    plan, machine = result.plan, result.machine
    others = [cell.others_cores for cell in result.cells]
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return [
        f"{machine.cores} cores, {machine.system}, {versions}",
        f"load average before the run {machine.load_average_1m:.2f}",
        f"other processes kept {median(others):.2f} cores busy meanwhile, at most {max(others):.2f}",
        f"{plan.rounds} rounds of {plan.duration_s:g} s, each after {plan.warm_up_s:g} s of warm-up",
        f"{result.users:,} users, drawn with seed {plan.seed}",
        "servers, stores and the load client, one Python process, share the machine",
        f"{sum(cell.calls for cell in result.cells):,} replies, all checked against PostgreSQL: no errors",
        f"{sum(cell.resends for cell in result.cells):,} requests were sent anew after their connection was closed",
    ]


def tables(result: Result) -> Iterator[Table]:
    """Yield the figures of each arm, then the gateway's ratios to each other arm."""
    yield Table(
        "median over the rounds (lowest to highest)",
        ["callers", "arm", *_TITLES.values()],
        [
            [str(callers), arm.name, *_figures(result, arm.name, callers)]
            for callers in result.plan.callers
            for arm in result.arms
        ],
    )
    if result.others():
        yield Table(
            "gateway divided by the other arm, in the same round: median (lowest to highest)",
            ["callers", "arm", *(_TITLES[name] for name in RATIOS)],
            [
                [str(callers), f"gateway / {other}", *_ratios(result, other, callers)]
                for callers in result.plan.callers
                for other in result.others()
            ],
        )


def markdown(result: Result) -> str:
    """Return the whole report as Markdown."""
    lines = [
        "# Benchmark",
        "",
        *(f"- {line}" for line in conditions(result)),
        "",
        "| arm | server and request |",
        "|---|---|",
    ]
    lines += [f"| {arm.name} | {arm.what} |" for arm in result.arms]
    for table in tables(result):
        lines += ["", f"## {table.title.capitalize()}", "", _row(table.header), _row(["---"] * len(table.header))]
        lines += [_row(row) for row in table.rows]
    return "\n".join(lines) + "\n"


def as_json(result: Result) -> dict[str, Any]:
    """Return everything that was measured, for programs: cells, spreads, and ratios round by round."""
    callers_arms = [(callers, arm.name) for callers in result.plan.callers for arm in result.arms]
    return {
        "plan": asdict(result.plan),
        "machine": asdict(result.machine),
        "users": result.users,
        "arms": {arm.name: arm.what for arm in result.arms},
        "cells": [
            {**asdict(cell), "errors": 0, "server_cpu_s_per_1000": cell.server_cpu_s_per_1000} for cell in result.cells
        ],
        "spreads": [
            {
                "arm": arm,
                "callers": callers,
                **{name: asdict(spread) for name, spread in spreads(result.cells, arm=arm, callers=callers).items()},
            }
            for callers, arm in callers_arms
        ],
        "ratios": [
            {
                "of": GATEWAY,
                "to": other,
                "callers": callers,
                **{
                    name: {"rounds": values, **asdict(Spread.of(values))}
                    for name, values in ratios(result.cells, of=GATEWAY, to=other, callers=callers).items()
                },
            }
            for callers in result.plan.callers
            for other in result.others()
        ],
    }


def _figures(result: Result, arm: str, callers: int) -> list[str]:
    found = spreads(result.cells, arm=arm, callers=callers)
    return [_spread(found[name]) for name in FIGURES]


def _ratios(result: Result, other: str, callers: int) -> list[str]:
    found = ratios(result.cells, of=GATEWAY, to=other, callers=callers)
    return [_spread(Spread.of(found[name])) for name in RATIOS]


def _spread(spread: Spread) -> str:
    return f"{_number(spread.median)} ({_number(spread.low)} to {_number(spread.high)})"


def _number(value: float) -> str:
    """Return a number with three digits that count, or all digits before the point."""
    if value == 0:
        return "0"
    for limit, digits in ((0.1, 3), (10, 2), (100, 1)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
