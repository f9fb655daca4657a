"""The rules as documents of Kubernetes, for the Prometheus operator."""

from pathlib import Path
from typing import Any

import yaml

from streamflow_monitoring.rules import RULE_FILES, groups

_HEADER = """\
# The rules of recording.yaml and alerts.yaml, for the Prometheus operator. Written by `.venv/bin/monitoring generate`.
"""


def text() -> str:
    """Return a PrometheusRule for each file of rules."""
    documents = [_document(file) for file in RULE_FILES]
    return _HEADER + yaml.safe_dump_all(documents, sort_keys=False, width=100_000)


def _document(file: Path) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": f"gateway-{file.stem}",
            "labels": {"app.kubernetes.io/name": "gateway", "app.kubernetes.io/component": "serving"},
        },
        "spec": {"groups": groups(file)},
    }
