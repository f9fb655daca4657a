"""The figures that `local watch` shows."""

from collections.abc import Mapping
from dataclasses import dataclass

from streamflow_local.watch.metrics import Moment, Span

_METHOD = "GetUserFeatures"
_DURATION = "gateway_call_duration_seconds"
_AGE = "gateway_feature_age_seconds"
_READS = "gateway_feature_server_read_duration_seconds_count"
_EJECTED = "gateway_feature_server_ejected"


@dataclass(frozen=True, kw_only=True)
class FeatureServerFigures:
    """One feature server, as the gateway sees it."""

    reads_per_s: float
    ejected: bool


@dataclass(frozen=True, kw_only=True)
class ViewFigures:
    """One feature view, in the answers of the span."""

    age_s: float | None
    """The median age of rows; None if there was no row."""

    not_found: float | None
    """The share of features without a row; None if there was no answer."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the gateway did in a span, and how it is at the end."""

    ready: bool
    calls_per_s: float
    errors_per_s: Mapping[str, float]
    """By reason; reasons without an error are left out."""

    p50_s: float | None
    p99_s: float | None
    """The time of GetUserFeatures in the gateway; None if there was no such call."""

    queued_calls: int
    max_queued_calls: int
    slots_taken: int
    slots: int
    feature_servers: Mapping[str, FeatureServerFigures]
    views: Mapping[str, ViewFigures]


def figures(span: Span) -> Figures:
    """Return the figures of a span."""
    now = span.last
    reasons = {found["reason"] for found, _ in now.having("gateway_call_errors_total")}
    errors = {reason: span.rate("gateway_call_errors_total", reason=reason) for reason in sorted(reasons)}
    servers = {found["feature_server"]: bool(value) for found, value in now.having(_EJECTED)}
    views = sorted({found["feature_view"] for found, _ in now.having("gateway_feature_statuses_total")})
    return Figures(
        ready=bool(now.sum("gateway_ready")),
        calls_per_s=span.rate("gateway_calls_total"),
        errors_per_s={reason: rate for reason, rate in errors.items() if rate},
        p50_s=span.quantile(0.5, _DURATION, method=_METHOD),
        p99_s=span.quantile(0.99, _DURATION, method=_METHOD),
        queued_calls=_whole(now, "gateway_queued_calls"),
        max_queued_calls=_whole(now, "gateway_max_queued_calls"),
        slots_taken=_whole(now, "gateway_slots_taken"),
        slots=_whole(now, "gateway_slots"),
        feature_servers={
            url: FeatureServerFigures(reads_per_s=span.rate(_READS, feature_server=url), ejected=servers[url])
            for url in sorted(servers)
        },
        views={view: _view(span, view) for view in views},
    )


def _view(span: Span, view: str) -> ViewFigures:
    every = span.increase("gateway_feature_statuses_total", feature_view=view)
    missing = span.increase("gateway_feature_statuses_total", feature_view=view, status="NOT_FOUND")
    return ViewFigures(age_s=span.quantile(0.5, _AGE, feature_view=view), not_found=missing / every if every else None)


def _whole(moment: Moment, name: str) -> int:
    return int(moment.sum(name) or 0)
