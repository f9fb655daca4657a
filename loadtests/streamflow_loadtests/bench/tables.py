"""A run's figures as tables of text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamflow_loadtests.bench.figures import RATIOS, Spread, ratios, spreads
from streamflow_loadtests.bench.gateway_arms import GATEWAY
from streamflow_loadtests.bench.result import Result
from streamflow_loadtests.bench.targets import Outcome, judged
from streamflow_loadtests.bench.workloads import Workload

_NOTHING = "-"
_LATENCY = {
    "calls_per_s": "calls/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "max_ms": "max ms",
}
_CPU = {
    "feature_server_cpu_s_per_1000": "feature server",
    "gateway_cpu_s_per_1000": "gateway",
    "valkey_cpu_s_per_1000": "Valkey",
    "server_cpu_s_per_1000": "all servers",
    "client_cpu_s_per_1000": "load client",
}
_RATIOS = {
    "calls_per_s": "throughput",
    "p50_ms": "p50",
    "p99_ms": "p99",
    "feature_server_cpu_s_per_1000": "feature-server CPU a vector",
    "server_cpu_s_per_1000": "all servers' CPU a vector",
}


@dataclass(frozen=True)
class Table:
    """A table of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(result: Result) -> Iterator[Table]:
    """Yield the figures of each arm, the gateway's ratios to each other arm, and what became of the targets."""
    yield _latency(result)
    yield _cpu(result)
    if result.others():
        yield _ratios(result)
        yield _targets(result)


def _latency(result: Result) -> Table:
    return Table(
        "throughput and latency: median over the rounds (lowest to highest); no percentile of too few calls",
        ["users a call", "callers", "arm", "calls a round", "vectors/s", *_LATENCY.values()],
        [
            [*_of(workload), arm, _plain(found["calls"]), _plain(found["vectors_per_s"])]
            + [_spread(found[name]) for name in _LATENCY]
            for workload, arm in result.measured()
            for found in [spreads(result.cells, arm=arm, workload=workload)]
        ],
    )


def _cpu(result: Result) -> Table:
    return Table(
        "CPU seconds for 1,000 feature vectors: median over the rounds (lowest to highest)",
        ["users a call", "callers", "arm", *_CPU.values(), "load client's share"],
        [
            [*_of(workload), arm, *(_spread(found[name]) for name in _CPU), _share(found["client_share"])]
            for workload, arm in result.measured()
            for found in [spreads(result.cells, arm=arm, workload=workload)]
        ],
    )


def _ratios(result: Result) -> Table:
    return Table(
        f"{GATEWAY} divided by the other arm, in the same round: median (lowest to highest)",
        ["users a call", "callers", "arm", *(_RATIOS[name] for name in RATIOS)],
        [
            [*_of(workload), f"{GATEWAY} / {other}"]
            + [_spread(Spread.of(found[name]) if found[name] else None) for name in RATIOS]
            for workload, other in result.measured()
            if other in result.others()
            for found in [ratios(result.cells, of=GATEWAY, to=other, workload=workload)]
        ],
    )


def _targets(result: Result) -> Table:
    return Table(
        "targets, by the median of the rounds' ratios",
        ["what", "under", "against", "target", "got", "reached"],
        [
            [
                outcome.target.what,
                str(outcome.target.workload),
                outcome.target.against,
                f"{outcome.target.bound} {outcome.target.limit}",
                _spread(outcome.got),
                _answer(outcome),
            ]
            for outcome in judged(result.cells)
        ],
    )


def _answer(outcome: Outcome) -> str:
    if outcome.got is None:
        return "not measured"
    return "yes" if outcome.reached else "no"


def _of(workload: Workload) -> list[str]:
    return [str(workload.users), str(workload.callers)]


def _plain(spread: Spread | None) -> str:
    return _NOTHING if spread is None else f"{spread.median:,.0f}"


def _share(spread: Spread | None) -> str:
    return _NOTHING if spread is None else f"{spread.median:.0%}"


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return _NOTHING
    return f"{_number(spread.median)} ({_number(spread.low)} to {_number(spread.high)})"


def _number(value: float) -> str:
    """Return a number with three digits that count, or all digits before the point."""
    if value == 0:
        return "0"
    for limit, digits in ((0.1, 3), (10, 2), (100, 1)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"
