"""An upgrade whose definitions can't be applied leaves the old servers in service. The controllers are real."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from manifests import Copy, templates_of

_DEFINITIONS = ("apply", "feature-server")
_DEPLOYMENTS = (*_DEFINITIONS, "gateway")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_upgrade_whose_apply_fails_is_rolled_back_and_done_again(cluster: Cluster, copy: Copy) -> None:
    old = copy.overlay("local", ())
    cluster.kubectl("apply", "-k", str(old))
    cluster.serve(*_DEPLOYMENTS)
    servers = _ready(cluster, "feature-server")
    definitions = _ready(cluster, "apply")

    cluster.kubectl("apply", "-f", "-", stdin=_built(cluster, old, failing=True))
    cluster.serve("gateway")
    cluster.wait(lambda: len(_pods(cluster, "feature-server")) == 3, "a feature server that waits")
    assert _ready(cluster, "feature-server") == servers
    # Of the definitions, no older version is written after a newer one.
    cluster.wait(lambda: len(_pods(cluster, "apply")) == 1, "an end of the old apply")
    assert not _ready(cluster, "apply")
    assert not definitions & _pods(cluster, "apply")

    cluster.kubectl("apply", "-k", str(old))
    cluster.serve(*_DEPLOYMENTS)
    assert _ready(cluster, "feature-server") == servers

    cluster.kubectl("apply", "-f", "-", stdin=_built(cluster, old, failing=False))
    cluster.serve(*_DEPLOYMENTS)
    assert not _ready(cluster, "feature-server") & servers
    assert len(_pods(cluster, "apply")) == 1
    assert not cluster.items("jobs")


def _built(cluster: Cluster, overlay: Path, *, failing: bool) -> str:
    """Return the documents of the next version; where its `apply` fails, its feature servers wait."""
    documents = list(yaml.safe_load_all(cluster.kubectl("kustomize", str(overlay))))
    for document in documents:
        for template in templates_of(document):
            for container in (*template["spec"].get("initContainers", ()), *template["spec"]["containers"]):
                if container["image"].startswith("streamflow/"):
                    container["image"] += ".1"
            if failing and document["metadata"]["name"] in _DEFINITIONS:
                # Simulated pods with this annotation never get ready.
                template["metadata"].setdefault("annotations", {})["test/hold"] = ""
    return yaml.safe_dump_all(documents)


def _ready(cluster: Cluster, name: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in _found(cluster, name) if _is_ready(pod)}


def _pods(cluster: Cluster, name: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in _found(cluster, name)}


def _found(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """Return the pods that are not being deleted."""
    pods = cluster.items("pods", "-l", f"app.kubernetes.io/name={name}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _is_ready(pod: dict[str, Any]) -> bool:
    return ("Ready", "True") in {(found["type"], found["status"]) for found in pod["status"].get("conditions", ())}
