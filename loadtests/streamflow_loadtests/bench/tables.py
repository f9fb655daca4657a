"""A run's figures as tables of text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from streamflow_loadtests.bench.figures import RATIOS, Spread, ratios, spreads
from streamflow_loadtests.bench.result import Result
from streamflow_loadtests.bench.servers import GATEWAY, shortest
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


_PARTS = (
    ("merging in the project's client", "gateway", "gateway:unmerged"),
    ("merging, in front of a stock feature server", "gateway-stock", "gateway-stock:unmerged"),
    ("the project's client without merging, not stubs", "gateway:unmerged", "gateway:grpc.aio"),
    ("the engine, without merging", "gateway-native:unmerged", "gateway-grpcio:unmerged"),
    ("the stack's feature server, not a tuned one, without merging", "gateway:unmerged", "gateway-tuned:unmerged"),
    ("merging in a Go caller", "gateway:go-merged", "gateway:go"),
    ("what is more than a bare gRPC server, under Go", "gateway-grpcio:go", "echo:go"),
    ("callers in Go, not in Python with stubs", "gateway:go", "gateway:grpc.aio"),
    ("the engine, under the project's client", "gateway-native", "gateway-grpcio"),
    ("the engine, under stubs", "gateway-native:grpc.aio", "gateway-grpcio:grpc.aio"),
    ("the engine, under Go", "gateway-native:go", "gateway-grpcio:go"),
    ("the stack's feature server, not a tuned one", "gateway", "gateway-tuned"),
    ("a tuned feature server, not a stock one", "gateway-tuned", "gateway-stock"),
    ("the gateway in front of a stock feature server", "gateway-stock", "stock"),
    ("the gateway in front of a tuned feature server", "gateway-tuned", "tuned"),
    ("the gateway in front of the stack's", "gateway", "server"),
)
"""Pairs of arms that differ in one part."""


@dataclass(frozen=True)
class Table:
    """A table of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(result: Result) -> Iterator[Table]:
    """Yield the figures of each arm, ratios to each other arm and of each part, and what became of the targets."""
    yield _latency(result)
    yield _cpu(result)
    for table in (_ratios(result), _parts(result)):
        if table.rows:
            yield table
    yield _targets(result)


def _latency(result: Result) -> Table:
    return Table(
        "throughput and latency: median over the rounds (lowest to highest); no percentile of too few calls",
        ["users a call", "callers", "arm", "calls a round", "vectors/s", *_LATENCY.values()],
        [
            [*_of(workload), arm, _plain(found["calls"]), _plain(found["vectors_per_s"])]
            + [spread_text(found[name]) for name in _LATENCY]
            for workload, arm in result.measured()
            for found in [spreads(result.cells, arm=arm, workload=workload)]
        ],
    )


def _cpu(result: Result) -> Table:
    return Table(
        "CPU seconds for 1,000 feature vectors: median over the rounds (lowest to highest)",
        ["users a call", "callers", "arm", *_CPU.values(), "load client's share"],
        [
            [*_of(workload), arm, *(spread_text(found[name]) for name in _CPU), _share(found["client_share"])]
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
            + [spread_text(Spread.of(found[name]) if found[name] else None) for name in RATIOS]
            for workload, other in result.measured()
            if other in result.others()
            for found in [ratios(result.cells, of=GATEWAY, to=other, workload=workload)]
            if found["calls_per_s"]
        ],
    )


def _parts(result: Result) -> Table:
    return Table(
        "what each part gives: one arm divided by another that lacks it, in the same round: median (lowest to highest)",
        ["part", "users a call", "callers", "arm", *(_RATIOS[name] for name in RATIOS)],
        [
            [part, *_of(workload), f"{of} / {to}"]
            + [spread_text(Spread.of(found[name]) if found[name] else None) for name in RATIOS]
            for part, of, to in ((part, shortest(of), shortest(to)) for part, of, to in _PARTS)
            for workload in result.settings.workloads
            for found in [ratios(result.cells, of=of, to=to, workload=workload)]
            if found["calls_per_s"]
        ],
    )


def _targets(result: Result) -> Table:
    return Table(
        "targets, by the median of the rounds' ratios",
        ["what", "arm", "under", "against", "target", "got", "reached"],
        [
            [
                outcome.target.what,
                shortest(outcome.target.of),
                str(outcome.target.workload),
                outcome.target.against,
                f"{outcome.target.bound} {outcome.target.limit}",
                spread_text(outcome.got),
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
    return [str(workload.users), f"{workload.callers} apart" if workload.apart else str(workload.callers)]


def _plain(spread: Spread | None) -> str:
    return _NOTHING if spread is None else f"{spread.median:,.0f}"


def _share(spread: Spread | None) -> str:
    return _NOTHING if spread is None else f"{spread.median:.0%}"


def spread_text(spread: Spread | None) -> str:
    """Return a median with the lowest and the highest."""
    if spread is None:
        return _NOTHING
    return f"{number_text(spread.median)} ({number_text(spread.low)} to {number_text(spread.high)})"


def number_text(value: float) -> str:
    """Return a number with three digits that count, or all digits before the point."""
    if value == 0:
        return "0"
    for limit, digits in ((0.1, 3), (10, 2), (100, 1)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def markdown_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown, line by line."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
