"""A Prometheus histogram that is counted in the call and made at the scrape.

prometheus_client's takes a lock for each observation, and 1 µs; this one belongs to one event loop, and takes 0.2 µs.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar


class Observations:
    """How many values there were up to each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Create it without values; the bounds rise."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: dict[int, Exemplar] = {}
        """The latest of each bound, by its position."""

        self._sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count a value, or several that are equal: it belongs to the first bound that it is not above."""
        self._counts[bisect_left(self._bounds, value)] += count
        self._sum += value * count

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values belong to each bound; the last number is of those above all bounds."""
        return tuple(self._counts)

    def exemplify(self, value: float, *, trace_id: str) -> None:
        """Keep the trace of a value that was counted as its bound's example."""
        self._exemplars[bisect_left(self._bounds, value)] = Exemplar({"trace_id": trace_id}, value, time.time())

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add a sample for each bound to a family."""
        total = 0
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        names = (*(str(float(bound)) for bound in self._bounds), "+Inf")
        for at, (name, count) in enumerate(zip(names, self._counts, strict=True)):
            total += count
            exemplar = self._exemplars.get(at)
            buckets.append((name, total) if exemplar is None else (name, total, exemplar))
        family.add_metric(labels, buckets, self._sum)


class Histogram(Collector):
    """A histogram with no label, or with one label whose values are known from the start."""

    def __init__(
        self,
        name: str,
        documentation: str,
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry,
        label: str = "",
        values: Iterable[str] = ("",),
    ) -> None:
        """Create and register it; without a label its only value is the empty text."""
        self._name = name
        self._documentation = documentation
        self._labels = [label] if label else []
        self.by_value: Mapping[str, Observations] = {value: Observations(bounds) for value in values}
        registry.register(self)

    @property
    def only(self) -> Observations:
        """The observations of a histogram without a label."""
        return self.by_value[""]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the histogram as Prometheus's text format has it."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for value, observations in self.by_value.items():
            observations.add_to(family, [value] if self._labels else [])
        yield family
