"""The gateway's histogram says what prometheus_client's own says."""

import prometheus_client
from feature_gateway.histogram import Histogram
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

_BOUNDS = (0.0005, 0.02, 1, 256)
_VALUES = st.lists(st.sampled_from(_BOUNDS) | st.floats(0, 1000), max_size=20)


def _text(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


@given(by_label=st.dictionaries(st.sampled_from(["a", "b"]), _VALUES), unlabelled=_VALUES)
def test_it_has_the_same_samples(by_label: dict[str, list[float]], unlabelled: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    labelled = Histogram("one", "One.", bounds=_BOUNDS, registry=ours, label="kind", values=("a", "b"))
    plain = Histogram("two", "Two.", bounds=_BOUNDS, registry=ours)
    of_client = prometheus_client.Histogram("one", "One.", ("kind",), buckets=_BOUNDS, registry=theirs)
    plain_of_client = prometheus_client.Histogram("two", "Two.", buckets=_BOUNDS, registry=theirs)
    for kind in ("a", "b"):
        child = of_client.labels(kind)
        for value in by_label.get(kind, []):
            labelled.by_value[kind].observe(value)
            child.observe(value)
    for value in unlabelled:
        plain.only.observe(value)
        plain_of_client.observe(value)
    assert _text(ours) == _text(theirs)
