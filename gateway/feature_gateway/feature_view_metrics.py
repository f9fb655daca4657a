"""What replies say of each feature view: statuses, and how old the rows are.

Rows are of few kinds, because a month's rows share their times. An answered row is counted by its kind; what that says
of each view is added up later, once for all rows of the kind.
"""

import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.encoding import NS_PER_S
from feature_gateway.histogram import Observations
from feature_gateway.values import FeatureStatus, Judgement

# So few that adding them up holds up the event loop for no more than some milliseconds.
_MAX_KINDS = 256

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_AGES_S = (
    *(1, 10, _MINUTE_S, 5 * _MINUTE_S, 15 * _MINUTE_S, _HOUR_S, 4 * _HOUR_S, 12 * _HOUR_S),
    *(days * _DAY_S for days in (1, 2, 7, 14, 31, 62, 93, 186, 366)),
)

MaxAges = Callable[[], Mapping[str, float | None]]
"""Returns the maximum age of each feature view of the contract, in seconds; None for a view without one."""


class FeatureViewMetrics(Collector):
    """Counts rows, and shows the feature views of the contract in service; belongs to one event loop."""

    def __init__(self, registry: CollectorRegistry, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Create and register it, without feature views; `now_ns` is in nanoseconds since 1970, UTC."""
        self.max_ages: MaxAges = dict
        """The feature views that are shown, with their maximum ages."""

        self.newest_ns: dict[str, int] = {}
        """The newest event timestamp of each feature view's rows that were added up, in nanoseconds since 1970, UTC."""

        self._now_ns = now_ns
        self._rows: dict[tuple[FeatureSet, Judgement], int] = {}
        self._statuses: dict[str, dict[FeatureStatus, int]] = {}
        self._ages: dict[str, Observations] = {}
        registry.register(self)

    def answered(self, feature_set: FeatureSet, judgement: Judgement, count: int) -> None:
        """Count rows of one kind."""
        kind = feature_set, judgement
        self._rows[kind] = self._rows.get(kind, 0) + count
        if len(self._rows) > _MAX_KINDS:
            self.add_up()

    def add_up(self) -> None:
        """Add up what the rows say that were counted since the last time; their ages are as of now."""
        now_ns = self._now_ns()
        by_statuses: dict[tuple[FeatureSet, tuple[FeatureStatus, ...]], int] = {}
        for (feature_set, judgement), count in self._rows.items():
            shape = feature_set, judgement.statuses
            by_statuses[shape] = by_statuses.get(shape, 0) + count
            for view, position in feature_set.rows_of_views:
                stamp_ns = judgement.event_timestamps_ns[position]
                if stamp_ns is not None:
                    self.newest_ns[view] = max(stamp_ns, self.newest_ns.get(view, stamp_ns))
                    self._ages_of(view).observe(max(0.0, (now_ns - stamp_ns) / NS_PER_S), count)
        self._rows.clear()
        for (feature_set, statuses), count in by_statuses.items():
            for feature, status in zip(feature_set.features, statuses, strict=True):
                of_view = self._statuses_of(feature.view)
                of_view[status] += count

    def collect(self) -> Iterable[Family]:
        """Return the families; what is not of the contract's feature views is forgotten."""
        self.add_up()
        max_ages = self.max_ages()
        for counted in (self._statuses, self._ages, self.newest_ns):
            for view in counted.keys() - max_ages.keys():
                del counted[view]
        statuses = CounterMetricFamily(
            "gateway_feature_statuses_total", "Features in replies.", labels=("feature_view", "status")
        )
        ages = HistogramMetricFamily(
            "gateway_feature_age_seconds",
            "From the event timestamp of a feature view's row to the reply, give or take a second.",
            labels=("feature_view",),
        )
        limits = GaugeMetricFamily(
            "gateway_feature_max_age_seconds",
            "The maximum age of a feature view that has one.",
            labels=("feature_view",),
        )
        for view, max_age_s in max_ages.items():
            for status, count in self._statuses_of(view).items():
                statuses.add_metric((view, status.name), count)
            self._ages_of(view).add_to(ages, (view,))
            if max_age_s is not None:
                limits.add_metric((view,), max_age_s)
        return statuses, ages, limits

    def _statuses_of(self, view: str) -> dict[FeatureStatus, int]:
        found = self._statuses.get(view)
        if found is None:
            found = self._statuses[view] = dict.fromkeys(FeatureStatus, 0)
        return found

    def _ages_of(self, view: str) -> Observations:
        found = self._ages.get(view)
        if found is None:
            found = self._ages[view] = Observations(_AGES_S)
        return found
