"""Keeps the result of a run: at a Pushgateway, or in a file for node exporter's textfile collector."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import Metric, pushadd_to_gateway, write_to_textfile
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_JOB = "streamflow-offline"

_MEANINGS = {
    "streamflow_job_last_end_timestamp_seconds": "When the last run ended.",
    "streamflow_job_last_duration_seconds": "How long the last run took.",
    "streamflow_job_last_succeeded": "1 if the last run did its work, 0 if it failed.",
    "streamflow_job_last_success_timestamp_seconds": "When the last run ended that did its work.",
    "streamflow_job_last_rows": (
        "Rows of the last run that had any: loaded, written to Redis or to files, or values compared."
    ),
    "streamflow_audit_passed": "1 if the last audit that could be made found no more differences than it may, else 0.",
}


def push(url: str, values: Mapping[str, float], labels: Mapping[str, str], *, timeout_s: float) -> None:
    """Replace these values at a Pushgateway, and leave others of the same labels. Raises OSError."""
    pushadd_to_gateway(url, _JOB, _Values(values, labels), grouping_key=dict(labels), timeout=timeout_s)


def write(path: Path, values: Mapping[str, float], labels: Mapping[str, str]) -> None:
    """Replace these values in a file, and leave others. Raises OSError."""
    write_to_textfile(str(path), _Values({**_values_in(path), **values}, labels))


def _values_in(path: Path) -> dict[str, float]:
    """Return what an earlier run left; nothing of a file that can't be read as such."""
    try:
        families = [*text_string_to_metric_families(path.read_text(encoding="utf-8"))]
    except (FileNotFoundError, ValueError):
        return {}
    samples = (sample for family in families for sample in family.samples)
    return {sample.name: sample.value for sample in samples if sample.name in _MEANINGS}


class _Values(Collector):
    """Values as gauges. prometheus_client's own gauges share files between processes once Feast is imported."""

    def __init__(self, values: Mapping[str, float], labels: Mapping[str, str]) -> None:
        self._values = values
        self._labels = labels

    def collect(self) -> Iterable[Metric]:
        """Return a family for each value."""
        for name, value in self._values.items():
            family = GaugeMetricFamily(name, _MEANINGS[name], labels=list(self._labels))
            family.add_metric(list(self._labels.values()), value)
            yield family
