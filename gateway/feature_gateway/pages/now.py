"""The page *Now*: what the gateway does at this moment, and did in the last minutes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from feature_gateway.access.caller import Caller
from feature_gateway.access.refusals import denied
from feature_gateway.gauges import Readings
from feature_gateway.observer import FeatureServerState
from feature_gateway.pages.lines import Plot, number, plot_of
from feature_gateway.pages.rates import LEAST_MS, QUANTILE_S, RATE_S, Moment, before
from feature_gateway.pages.rendering import Renderer
from feature_gateway.pages.sample import Reads, Sample
from feature_gateway.pages.samples import KEPT_S, Samples
from feature_gateway.pages.times import age_of

REFRESH_S = 2
_MINUTE_S = 60.0
# A gateway that has just been started has lines that can be seen, too.
_SPANS_S = (60.0, 120.0, float(KEPT_S))


@dataclass(frozen=True, kw_only=True)
class Present:
    """What is read when the page is asked for."""

    not_ready: Callable[[], str | None]
    contract_hash: Callable[[], str]
    gauges: Readings
    feature_servers: Callable[[], Mapping[str, FeatureServerState]]


@dataclass(frozen=True, kw_only=True)
class ServerLine:
    """A feature server in the table."""

    url: str
    ejected: bool
    in_flight: int
    rate: str
    mean: str
    failed: int
    ejections: int


@dataclass(frozen=True, kw_only=True)
class Now:
    """Answers the page."""

    samples: Samples
    present: Present
    renderer: Renderer

    async def answer(self, _request: web.Request, caller: Caller) -> web.Response:
        """Return the page; raise GatewayError for a caller that may not read everything: it is about all callers."""
        caller.spend()
        if not caller.may_read_all:
            raise denied()
        samples, moments, gauges = self.samples.kept, self.samples.moments, self.present.gauges
        return await self.renderer.page(
            "now",
            refresh_s=REFRESH_S,
            not_ready=self.present.not_ready(),
            contract_hash=self.present.contract_hash(),
            contract_pending=gauges["contract_pending"](),
            queued=gauges["queued_calls"](),
            slots=gauges["slots"](),
            slots_taken=gauges["slots_taken"](),
            figures=figures_of(moments[-1]),
            plots=await asyncio.to_thread(plots_of, moments),
            errors=errors_of(samples),
            servers=servers_of(samples, self.present.feature_servers()),
            age_of=age_of,
            rate_s=int(RATE_S),
            quantile_s=int(QUANTILE_S),
        )


def figures_of(moment: Moment) -> dict[str, str]:
    """Return the figures of a moment, in words."""
    return {
        "Calls a second": number(moment.calls_per_s, ""),
        "Errors a second": number(moment.errors_per_s, ""),
        "p50": number(moment.call_p50_ms, "ms", least=LEAST_MS),
        "p99": number(moment.call_p99_ms, "ms", least=LEAST_MS),
    }


_PLOTS: Mapping[tuple[str, str], Mapping[str, Callable[[Moment], float | None]]] = {
    ("Calls a second", ""): {
        "all": lambda moment: moment.calls_per_s,
        "with an error": lambda moment: moment.errors_per_s,
    },
    ("How long calls took", "ms"): {
        "p50": lambda moment: moment.call_p50_ms,
        "p99": lambda moment: moment.call_p99_ms,
    },
    ("What calls waited for, p99", "ms"): {
        "a free feature server": lambda moment: moment.queue_p99_ms,
        "a feature server's answer": lambda moment: moment.read_p99_ms,
        "the gateway's event loop": lambda moment: moment.lag_p99_ms,
    },
}
"""The lines of each plot, by its title and unit."""


def plots_of(moments: Sequence[Moment]) -> list[Plot]:
    """Return the plots of the last minutes."""
    now_s = moments[-1].at_s
    covered_s = now_s - moments[0].at_s
    span_s = next((span_s for span_s in _SPANS_S if span_s >= covered_s), float(KEPT_S))
    return [
        plot_of(
            title,
            unit,
            {label: [(now_s - one.at_s, value_of(one)) for one in moments] for label, value_of in lines.items()},
            span_s=span_s,
            least=LEAST_MS if unit else 0.0,
        )
        for (title, unit), lines in _PLOTS.items()
    ]


def errors_of(samples: Sequence[Sample]) -> list[tuple[str, int, int, int]]:
    """Return each reason with how many calls ended with it: in a minute, in the minutes that are kept, in all."""
    newest, minute, kept = (one.totals.errors for one in (samples[-1], before(samples, _MINUTE_S), samples[0]))
    lines = [(name, count - minute.get(name, 0), count - kept.get(name, 0), count) for name, count in newest.items()]
    return sorted(lines, key=lambda line: (-line[1], -line[2], -line[3], line[0]))


def servers_of(samples: Sequence[Sample], states: Mapping[str, FeatureServerState]) -> list[ServerLine]:
    """Return the feature servers of now; rates are of the last minute."""
    newest, minute = samples[-1], before(samples, _MINUTE_S)
    elapsed_s = newest.at_s - minute.at_s
    return [
        _server(url, state, newest.reads.get(url, Reads()), minute.reads.get(url, Reads()), elapsed_s)
        for url, state in states.items()
    ]


def _server(url: str, state: FeatureServerState, now: Reads, then: Reads, elapsed_s: float) -> ServerLine:
    answered = now.answered - then.answered
    return ServerLine(
        url=url,
        ejected=state.ejected,
        in_flight=state.in_flight,
        rate=number(answered / elapsed_s if elapsed_s > 0 else None, ""),
        mean=number(1000 * (now.answered_s - then.answered_s) / answered if answered > 0 else None, "ms"),
        failed=now.failed - then.failed,
        ejections=state.ejections,
    )
