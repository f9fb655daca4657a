"""What a user should conclude from a comparison of targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from streamflow_loadtests.load.serving import Serving

SERVERS = "the servers"
LOCUST = "locust"

_NOTHING = "-"


@dataclass(frozen=True, kw_only=True)
class Held:
    """The rate up to which a target keeps the limits of the options."""

    calls_per_s: float
    limit: str
    """Who could not keep the next rate: SERVERS, LOCUST, or nobody, as no higher one was tried."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a target came to, alone on the stack."""

    target: str
    name: str
    """The kind of call, as reports have it."""

    calls: int
    calls_per_s: float
    p50_ms: float
    p99_ms: float

    in_gateway_ms: float | None
    """The mean of the time in the gateway; None of targets that are not the gateway's gRPC."""

    servers_cpu_ms: float | None
    """CPU time of all processes of the stack for each call; None when they are not those of `make up`."""

    locust_cpu_ms: float | None
    """CPU time of locust for each call; None when workers made the calls."""

    held: Held | None

    @classmethod
    def of(cls, target: str, summary: Mapping[str, Any], used: Serving, *, held: Held | None) -> Self:
        """Return the figures of a run: those of the kind of call that it has most of."""
        most = max(summary["rows"], key=lambda row: row["calls"], default=None)
        if most is None:
            raise ValueError(f"{target} has no calls")
        calls = sum(row["calls"] for row in summary["rows"])
        locust_s = summary["cpu_s"]
        return cls(
            target=target,
            name=most["name"],
            calls=calls,
            calls_per_s=most["calls_per_s"],
            p50_ms=most["p50_ms"],
            p99_ms=most["p99_ms"],
            in_gateway_ms=used.in_gateway_s / used.calls * 1000 if target == "gateway-grpc" and used.calls else None,
            servers_cpu_ms=None if used.cpu_s is None else used.cpu_s / calls * 1000,
            locust_cpu_ms=None if locust_s is None else locust_s / calls * 1000,
            held=held,
        )


def lines(measured: Sequence[Measured], *, rate: float) -> Iterator[str]:
    """Yield a table, and what to conclude."""
    loop = f"open loop, {rate:g} calls/s each" if rate else "closed loop"
    yield f"each target alone on the stack, {loop}; ms, and CPU ms a call"
    yield ""
    width = max(len(each.name) for each in measured)
    heads = ("calls/s", "p50", "p99", "in gateway", "servers' CPU", "locust's CPU", "holds calls/s")
    yield " " * width + "".join(f"  {head:>13}" for head in heads)
    for each in measured:
        cells = (each.calls_per_s, each.p50_ms, each.p99_ms, each.in_gateway_ms)
        texts = [_text(cell) for cell in (*cells, each.servers_cpu_ms, each.locust_cpu_ms)]
        yield f"{each.name:<{width}}" + "".join(f"  {text:>13}" for text in (*texts, _held(each.held)))
    yield ""
    yield from conclusion(measured)


def conclusion(measured: Sequence[Measured]) -> list[str]:
    """Return what a user should conclude, a sentence each."""
    by_target = {each.target: each for each in measured}
    gateway, feast = by_target.get("gateway-grpc"), by_target.get("feast-http")
    found = []
    if gateway and feast:
        found.append(
            f"A call of the gateway over gRPC takes {gateway.p50_ms:.1f} ms (p50) and {gateway.p99_ms:.1f} ms (p99), "
            f"one of feast serve {feast.p50_ms:.1f} and {feast.p99_ms:.1f}."
        )
        cpu = (_text(gateway.servers_cpu_ms), _text(feast.servers_cpu_ms))
        found.append(f"The servers use {cpu[0]} ms of CPU for the one and {cpu[1]} ms for the other.")
    if gateway:
        inside, own = _text(gateway.in_gateway_ms), _text(gateway.locust_cpu_ms)
        found.append(f"A gRPC call is {inside} ms (mean) in the gateway; the rest is gRPC on both sides, and locust.")
        other = f", and {_text(feast.locust_cpu_ms)} ms for one over HTTP" if feast else ""
        found.append(f"Locust itself uses {own} ms of CPU for a gRPC call{other}.")
    holds = [each for each in measured if each.held]
    if holds:
        rates = "; ".join(f"{each.name} {_held(each.held)} calls/s" for each in holds)
        found.append(f"Within the limits each holds: {rates}.")
    if any(each.held and each.held.limit == LOCUST for each in holds):
        found.append("Where it says ≥, locust is the limit, not the servers: `make bench` asks with faster clients.")
    return found


def _text(figure: float | None) -> str:
    return _NOTHING if figure is None else f"{figure:,.2f}"


def _held(held: Held | None) -> str:
    return _NOTHING if held is None else f"{'' if held.limit == SERVERS else '≥ '}{held.calls_per_s:,.0f}"
