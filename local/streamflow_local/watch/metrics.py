"""What the gateway's `/metrics` says at a moment, and what happened between two moments."""

import math
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout

_TIMEOUT_S = 2.0

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Moment:
    """The samples of one scrape, by name and labels."""

    at_s: float
    """By `time.monotonic`."""

    samples: Mapping[tuple[str, Labels], float]

    @classmethod
    def of_text(cls, text: str, *, at_s: float) -> "Moment":
        """Return the samples of Prometheus' text format."""
        samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        return cls(at_s, samples)

    def having(self, name: str, **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Yield the labels and the value of each sample of a name that has at least these labels."""
        for (found, pairs), value in self.samples.items():
            if found == name and labels.items() <= pairs:
                yield dict(pairs), value

    def sum(self, name: str, **labels: str) -> float | None:
        """Return the sum of the samples of a name that have at least these labels; None if there is none."""
        values = [value for _, value in self.having(name, **labels)]
        return sum(values) if values else None


@dataclass(frozen=True)
class Span:
    """What happened from one moment to a later one."""

    first: Moment
    last: Moment

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.last.at_s - self.first.at_s

    def increase(self, name: str, **labels: str) -> float:
        """Return by how much the counters of a name grew; one that is smaller than before has begun again at 0."""
        return sum(
            value - before if value >= before else value
            for key, value in self.last.samples.items()
            if key[0] == name and labels.items() <= key[1]
            for before in (self.first.samples.get(key, 0.0),)
        )

    def rate(self, name: str, **labels: str) -> float:
        """Return the increase a second."""
        return self.increase(name, **labels) / self.seconds

    def quantile(self, share: float, name: str, **labels: str) -> float | None:
        """Return a quantile of what a histogram observed, as Prometheus estimates it; None if it observed nothing."""
        bounds = sorted(
            {float(found["le"]): found["le"] for found, _ in self.last.having(f"{name}_bucket", **labels)}.items()
        )
        counts = [(bound, self.increase(f"{name}_bucket", le=text, **labels)) for bound, text in bounds]
        return _quantile(share, counts)


def _quantile(share: float, counts: list[tuple[float, float]]) -> float | None:
    """Return a quantile of cumulative counts by upper bound, evenly spread within each bucket."""
    if not counts or counts[-1][1] == 0:
        return None
    rank, lower, below = share * counts[-1][1], 0.0, 0.0
    for bound, count in counts:
        if count >= rank and count > below:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower


def scrape(config: StackConfig, layout: Layout) -> Moment:
    """Return what the stack's gateway says now. Raises OSError when it does not answer."""
    scheme, context = "http", None
    if config.secure:
        scheme, context = "https", ssl.create_default_context(cafile=layout.ca_file)
    url = f"{scheme}://127.0.0.1:{config.gateway_http_port}/metrics"
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=context) as response:  # noqa: S310  # http(s) by construction
        text = response.read().decode()
    return Moment.of_text(text, at_s=time.monotonic())
