"""The gateway's Prometheus metrics. Labels are bounded: methods, codes, feature views, statuses; never a key."""

from collections.abc import Callable, Iterable, Sequence

from grpc import StatusCode
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.observer import Observer
from feature_gateway.values import FeatureStatus

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""The media type of `Metrics.exposition`."""

# Callers have a budget of 20 ms: it is a bound, so that the share of calls within it is exact, and the bounds lie
# closest around it. Nothing that reads takes less than 0.5 ms; 2.5 s is above the default deadline of 1 s.
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# So few that counting them holds up the event loop for no more than some milliseconds.
_MAX_KINDS_OF_ROW = 256


class Metrics(Observer):
    """Counts events, and returns them in Prometheus's text format; belongs to one event loop."""

    def __init__(self, registry: CollectorRegistry, *, methods: Iterable[str]) -> None:
        """Create and register the metrics; calls of methods other than `methods` are not counted."""
        self._registry = registry
        self._calls = Counter("gateway_calls_total", "Calls that ended.", ("method", "code"), registry=registry)
        durations = Histogram(
            "gateway_call_duration_seconds",
            "From a call's request received to its reply made.",
            ("method",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "gateway_refused_calls_total",
            "Calls refused because too many waited or their deadline could not be met.",
            registry=registry,
        )
        self._statuses = Counter(
            "gateway_feature_statuses_total",
            "Features in replies.",
            ("feature_view", "status"),
            registry=registry,
        )
        self._stale = Counter(
            "gateway_stale_answers_total",
            "Rows answered from memory because the feature servers were not available.",
            registry=registry,
        )
        self._queue = Histogram(
            "gateway_queue_duration_seconds",
            "How long a row waited for a read to start; 0 when a feature server was free.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._queued = Gauge("gateway_queued_calls", "Rows that wait for a read to start.", registry=registry)
        self._read_rows = Histogram(
            "gateway_read_users",
            "Distinct rows of a read.",
            buckets=_ROWS,
            registry=registry,
        )
        self._shared = Counter(
            "gateway_deduplicated_users_total",
            "Rows not read because the same read had them already.",
            registry=registry,
        )
        reads = Histogram(
            "gateway_read_duration_seconds",
            "How long the feature servers took for a read, retry and hedge included; outcome is answered or failed.",
            ("outcome",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge("gateway_reads_in_flight", "Reads under way.", registry=registry)
        self._retries = Counter(
            "gateway_read_retries_total", "Failed reads sent to a second feature server.", registry=registry
        )
        self._hedges = Counter(
            "gateway_read_hedges_total", "Slow reads sent to a second feature server too.", registry=registry
        )
        self._replicas = Gauge("gateway_replicas", "Feature servers known.", registry=registry)
        self._ejected = Gauge("gateway_replicas_set_aside", "Feature servers ejected now.", registry=registry)
        self._ejections = Counter(
            "gateway_replica_set_asides_total", "Times that a feature server was ejected.", registry=registry
        )
        self._ready = Gauge("gateway_ready", "1 when calls should be sent here, else 0.", registry=registry)
        self._contracts_accepted = Gauge(
            "gateway_contracts_accepted", "Changed contracts swapped in since the start.", registry=registry
        )
        self._contracts_refused = Gauge(
            "gateway_contracts_refused", "Changed contracts refused since the start.", registry=registry
        )
        self._contract_pending = Gauge(
            "gateway_contract_pending",
            "1 while a changed contract waits for the feature servers to answer by it, else 0.",
            registry=registry,
        )
        self._contract = Info("gateway_contract", "The contract that is answered by.", registry=registry)
        self._contract_hash: Callable[[], str] = str
        # Finding a child by its labels costs more than counting does, so each is found once.
        self._durations = {method: durations.labels(method) for method in methods}
        self._calls_by_end: dict[tuple[str, StatusCode], Counter] = {}
        self._answered, self._failed = reads.labels("answered"), reads.labels("failed")
        # Rows are of few kinds, so statuses are counted by the kind, at a scrape, and not one by one in each call.
        self._rows: dict[tuple[FeatureSet, tuple[FeatureStatus, ...]], int] = {}

    def watch(
        self,
        *,
        ready: Callable[[], bool],
        queued: Callable[[], int],
        reads_in_flight: Callable[[], int],
        replicas: Callable[[], int],
        replicas_ejected: Callable[[], int],
        contract_hash: Callable[[], str],
        contracts_accepted: Callable[[], int],
        contracts_refused: Callable[[], int],
        contract_pending: Callable[[], bool],
    ) -> None:
        """Set what is called at each scrape."""
        self._contracts_accepted.set_function(contracts_accepted)
        self._contracts_refused.set_function(contracts_refused)
        self._contract_pending.set_function(contract_pending)
        self._ready.set_function(ready)
        self._queued.set_function(queued)
        self._in_flight.set_function(reads_in_flight)
        self._replicas.set_function(replicas)
        self._ejected.set_function(replicas_ejected)
        self._contract_hash = contract_hash

    def exposition(self) -> bytes:
        """Return all metrics as CONTENT_TYPE has them."""
        self._count_statuses()
        self._contract.info({"hash": self._contract_hash()})
        return generate_latest(_WithoutCreationTimes(self._registry))

    def call_ended(self, method: str, code: StatusCode, elapsed_s: float) -> None:
        """Count a call and its time."""
        duration = self._durations.get(method)
        if duration is None:
            return
        duration.observe(elapsed_s)
        calls = self._calls_by_end.get((method, code))
        if calls is None:
            calls = self._calls_by_end[method, code] = self._calls.labels(method, code.name)
        calls.inc()

    def call_refused(self) -> None:
        """Count a refusal."""
        self._refused.inc()

    def row_answered(self, feature_set: FeatureSet, statuses: tuple[FeatureStatus, ...]) -> None:
        """Count the statuses by feature view."""
        kind = feature_set, statuses
        self._rows[kind] = self._rows.get(kind, 0) + 1
        if len(self._rows) > _MAX_KINDS_OF_ROW:
            self._count_statuses()

    def stale_answered(self) -> None:
        """Count an answer from memory."""
        self._stale.inc()

    def read_started(self, *, rows: int, queue_s: Sequence[float]) -> None:
        """Count a read's rows, and its calls' time in the queue."""
        for waited_s in queue_s:
            self._queue.observe(waited_s)
        self._read_rows.observe(rows)
        if len(queue_s) > rows:
            self._shared.inc(len(queue_s) - rows)

    def read_ended(self, elapsed_s: float, *, answered: bool) -> None:
        """Count a read's time."""
        (self._answered if answered else self._failed).observe(elapsed_s)

    def read_retried(self) -> None:
        """Count a retry."""
        self._retries.inc()

    def read_hedged(self) -> None:
        """Count a hedge."""
        self._hedges.inc()

    def replica_ejected(self) -> None:
        """Count an ejection."""
        self._ejections.inc()

    def _count_statuses(self) -> None:
        counts: dict[tuple[str, FeatureStatus], int] = {}
        for (feature_set, statuses), rows in self._rows.items():
            for feature, status in zip(feature_set.features, statuses, strict=True):
                key = feature.view, status
                counts[key] = counts.get(key, 0) + rows
        self._rows.clear()
        for (view, status), count in counts.items():
            self._statuses.labels(view, status.name).inc(count)


class _WithoutCreationTimes(Collector):
    """A registry's families without the creation time of each series, which would double the scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Family]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
