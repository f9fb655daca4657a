"""What each feature server was asked, and whether it is ejected, read at each scrape."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

if TYPE_CHECKING:
    from feature_gateway.observer import FeatureServerState

_LABEL = "feature_server"


class FeatureServerMetrics(Collector):
    """Shows the feature servers that the gateway knows now, and no others."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Create and register it, without feature servers."""
        self.states: Callable[[], Mapping[str, FeatureServerState]] = dict
        """What is shown, by URL."""

        registry.register(self)

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        reads = SummaryMetricFamily(
            "gateway_feature_server_read_duration_seconds",
            "How long a feature server took for a read; outcome is answered, failed or given_up. Canary reads count.",
            labels=(_LABEL, "outcome"),
        )
        in_flight = GaugeMetricFamily(
            "gateway_feature_server_reads_in_flight", "Reads that a feature server is asked now.", labels=(_LABEL,)
        )
        ejected = GaugeMetricFamily(
            "gateway_feature_server_ejected", "1 while a feature server is ejected, else 0.", labels=(_LABEL,)
        )
        ejections = CounterMetricFamily(
            "gateway_feature_server_ejections_total", "Times that a feature server was ejected.", labels=(_LABEL,)
        )
        for url, state in self.states().items():
            for outcome, (count, sum_s) in state.reads.items():
                reads.add_metric((url, outcome), count, sum_s)
            in_flight.add_metric((url,), state.in_flight)
            ejected.add_metric((url,), state.ejected)
            ejections.add_metric((url,), state.ejections)
        return reads, in_flight, ejected, ejections
