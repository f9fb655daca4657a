"""The gateway's Prometheus metrics. Labels are bounded: methods, codes, feature views, statuses; never a key."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from grpc import StatusCode
from prometheus_client import CollectorRegistry, Counter, Gauge, Info, ProcessCollector
from prometheus_client import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow_logs.trace import current_trace_id

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import CODES, name_of
from feature_gateway.failed_calls import FailedCalls
from feature_gateway.feature_server_metrics import FeatureServerMetrics
from feature_gateway.feature_view_metrics import FeatureViewMetrics, MaxAges
from feature_gateway.gauges import Gauges, Readings
from feature_gateway.histogram import Histogram
from feature_gateway.observer import FeatureServerState, Observer
from feature_gateway.totals import Totals, summed
from feature_gateway.values import Judgement

if TYPE_CHECKING:
    from feature_gateway.tracing.spans import CallSpan

# Callers have a budget of 20 ms: it is a bound, so that the share of calls within it is exact, and the bounds lie
# closest around it. Nothing that reads takes less than 0.5 ms; 2.5 s is above the default deadline of 1 s.
SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""The bounds of all histograms of seconds."""

_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics(Observer):
    """Counts events, and returns them in Prometheus's text format; belongs to one event loop."""

    def __init__(self, registry: CollectorRegistry, *, methods: Iterable[str]) -> None:
        """Create and register the metrics; calls of methods other than `methods` are not counted."""
        self.failed_calls = FailedCalls()
        """What logs the calls that fail."""

        self._registry = registry
        self._calls = Counter("gateway_calls_total", "Calls that ended.", ("method", "code"), registry=registry)
        self._errors = Counter(
            "gateway_call_errors_total", "Calls that ended with an error.", ("method", "reason"), registry=registry
        )
        self._stream_errors = Counter(
            "gateway_stream_errors_total", "Streams that ended with an error.", ("reason",), registry=registry
        )
        self._durations = Histogram(
            "gateway_call_duration_seconds",
            "From a call's request received to its reply made.",
            label="method",
            values=methods,
            bounds=SECONDS,
            registry=registry,
        ).by_value
        self._refused = Counter(
            "gateway_refused_calls_total",
            "Calls refused because too many waited or their deadline could not be met.",
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
            bounds=SECONDS,
            registry=registry,
        ).only
        self._expired = Counter(
            "gateway_queue_timeouts_total",
            "Rows whose time ran out while they waited for a read to start.",
            registry=registry,
        )
        self._read_rows = Histogram(
            "gateway_read_users",
            "Distinct rows of a read.",
            bounds=_ROWS,
            registry=registry,
        ).only
        self._shared = Counter(
            "gateway_deduplicated_users_total",
            "Rows not read because the same read had them already.",
            registry=registry,
        )
        reads = Histogram(
            "gateway_read_duration_seconds",
            "How long the feature servers took for a read, retry and hedge included; outcome is answered or failed.",
            label="outcome",
            values=("answered", "failed"),
            bounds=SECONDS,
            registry=registry,
        ).by_value
        self._retries = Counter(
            "gateway_read_retries_total", "Failed reads sent to a second feature server.", registry=registry
        )
        self._hedges = Counter(
            "gateway_read_hedges_total", "Slow reads sent to a second feature server too.", registry=registry
        )
        self._ejections = Counter(
            "gateway_replica_set_asides_total", "Times that a feature server was ejected.", registry=registry
        )
        self._lag = Histogram(
            "gateway_event_loop_lag_seconds",
            "How much later than asked the event loop ran a timer, which it is asked ten times a second.",
            bounds=SECONDS,
            registry=registry,
        ).only
        self._connections = Gauge("gateway_connections", "Connections open.", ("port",), registry=registry)
        self._max_connections = Gauge(
            "gateway_max_connections", "The most connections that may be open.", ("port",), registry=registry
        )
        self._contract = Info("gateway_contract", "The contract that is answered by.", registry=registry)
        self._contract_hash: Callable[[], str] = str
        self._answered, self._failed = reads["answered"], reads["failed"]
        self._gauges = Gauges(registry)
        self._feature_servers = FeatureServerMetrics(registry)
        self._feature_views = FeatureViewMetrics(registry)
        ProcessCollector(registry=registry)
        # Calls end in few ways: they are counted by the way here, and added at a scrape.
        self._ends: dict[tuple[str, StatusCode, ErrorReason.ValueType | None], int] = {}
        # Most end well; an enumeration's hash is in Python.
        self._ok = dict.fromkeys(self._durations, 0)

    def watch(
        self,
        gauges: Readings,
        *,
        contract_hash: Callable[[], str],
        max_ages: MaxAges,
        feature_servers: Callable[[], Mapping[str, FeatureServerState]],
    ) -> None:
        """Set what is called at each scrape."""
        self._gauges.watch(gauges)
        self._contract_hash = contract_hash
        self._feature_views.max_ages = max_ages
        self._feature_servers.states = feature_servers

    def watch_connections(self, port: str, *, opened: Callable[[], int], most: int) -> None:
        """Set what counts the connections of a port at each scrape, and the most that there may be."""
        self._connections.labels(port).set_function(opened)
        self._max_connections.labels(port).set(most)

    def add_up_rows(self) -> None:
        """Add up the ages of the rows that were answered since the last time; call it every second."""
        self._feature_views.add_up()

    def newest_rows_ns(self) -> Mapping[str, int]:
        """Return the newest event timestamp of each feature view's rows that were answered, in ns since 1970, UTC."""
        self.add_up_rows()
        return self._feature_views.newest_ns

    def totals(self) -> Totals:
        """Return what has been counted since the start."""
        self._add_up_ends()
        errors: dict[str, int] = {}
        for family in self._errors.collect():
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    reason = sample.labels["reason"]
                    errors[reason] = errors.get(reason, 0) + int(sample.value)
        return Totals(
            errors=errors,
            calls=summed(self._durations.values()),
            queue=summed([self._queue]),
            reads=summed([self._answered, self._failed]),
            lag=summed([self._lag]),
        )

    def exposition(self, accepted: str = "") -> tuple[bytes, str]:
        """Return all metrics in the form that an Accept header asks for, and its media type.

        Only OpenMetrics has the traces that are examples.
        """
        self._add_up_ends()
        self._contract.info({"hash": self._contract_hash()})
        encode, content_type = choose_encoder(accepted)
        return encode(_WithoutCreationTimes(self._registry)), content_type

    def _add_up_ends(self) -> None:
        for method, count in self._ok.items():
            if count:
                self._calls.labels(method, StatusCode.OK.name).inc(count)
        self._ok = dict.fromkeys(self._ok, 0)
        for (method, code, reason), count in self._ends.items():
            self._calls.labels(method, code.name).inc(count)
            self._errors.labels(method, code.name if reason is None else name_of(reason)).inc(count)
        self._ends.clear()

    def call_ended(
        self,
        method: str,
        code: StatusCode,
        elapsed_s: float,
        *,
        reason: ErrorReason.ValueType | None = None,
        feature_server: str | None = None,
        span: "CallSpan | None" = None,
    ) -> None:
        """Count a call, its time, and its error, which is logged, and end its span.

        A sampled call's trace is an example of its time, and a line of the log names it.
        """
        duration = self._durations.get(method)
        if duration is not None:
            duration.observe(elapsed_s)
            if span is not None:
                duration.exemplify(elapsed_s, trace_id=span.trace_id)
            if code is StatusCode.OK:
                self._ok[method] += 1
            else:
                end = method, code, reason
                self._ends[end] = self._ends.get(end, 0) + 1
                token = current_trace_id.set("" if span is None else span.trace_id)
                self.failed_calls.failed(method, code, reason, feature_server)
                current_trace_id.reset(token)
        if span is not None:
            span.end(code, reason)

    def stream_failed(self, reason: ErrorReason.ValueType) -> None:
        """Count a stream."""
        self._stream_errors.labels(name_of(reason)).inc()
        self.failed_calls.failed("a stream", CODES[reason], reason, None)

    def call_refused(self) -> None:
        """Count a refusal."""
        self._refused.inc()

    def queue_timed_out(self) -> None:
        """Count a row."""
        self._expired.inc()

    def rows_answered(self, feature_set: FeatureSet, judgement: Judgement, count: int) -> None:
        """Count rows."""
        self._feature_views.answered(feature_set, judgement, count)

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

    def loop_lagged(self, lag_s: float) -> None:
        """Count a timer's delay."""
        self._lag.observe(lag_s)


class _WithoutCreationTimes(Collector):
    """A registry's families without the creation time of each series, which would double the scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Family]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
