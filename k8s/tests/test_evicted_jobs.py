"""A Job's pod is evicted, as by the drain of its node. The evictions and the Job controller are real."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from cluster import NAMESPACE, Cluster
from manifests import Copy, templates_of

_JOBS = ("materialize", "audit-skew", "training-set", "ingest", "files", "load-sample")
_HOLD = "test/hold"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_evicted_pod_of_a_job_is_replaced_and_is_no_failure(cluster: Cluster, copy: Copy) -> None:
    documents = yaml.safe_load_all(cluster.kubectl("kustomize", str(copy.overlay("local", ()))))
    # A simulated pod would otherwise complete nine seconds after it is made, evicted by then or not.
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(map(_held, documents)))
    for name in _JOBS:
        cluster.ours("create", "job", name, f"--from=cronjob/{name}")
    evicted = {_evict(cluster, name) for name in _JOBS}

    def ended() -> bool:
        for pod in cluster.items("pods", "-l", "job-name"):
            if _HOLD in pod["metadata"].get("annotations", {}):
                _let_go(cluster, pod["metadata"]["name"])
        return all(_end(job) for job in cluster.items("jobs"))

    cluster.wait(ended, "the Jobs end")
    ends = {job["metadata"]["name"]: (_end(job), job["status"].get("failed", 0)) for job in cluster.items("jobs")}
    assert ends == dict.fromkeys(_JOBS, ("Complete", 0))
    assert not evicted & {pod["metadata"]["name"] for pod in cluster.items("pods", "-l", "job-name")}


def _held(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose Job's pods, which the tests' control plane simulates, do not start."""
    if document["kind"] == "CronJob":
        for template in templates_of(document):
            template["metadata"].setdefault("annotations", {})[_HOLD] = ""
    return document


def _let_go(cluster: Cluster, pod: str) -> None:
    """Let a pod start, unless an evicted one is gone by now."""
    try:
        cluster.ours("annotate", "pod", pod, f"{_HOLD}-")
    except AssertionError as error:
        if "NotFound" not in str(error):
            raise


def _evict(cluster: Cluster, job: str) -> str:
    """Evict the pod of a Job, and have it fail as kubelet does; return the pod's name."""
    selector = ("pods", "-l", f"job-name={job}")
    cluster.wait(lambda: bool(cluster.items(*selector)), f"a pod of {job}")
    (pod,) = cluster.items(*selector)
    name = str(pod["metadata"]["name"])
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    # Simulated pods have no kubelet.
    cluster.ours("patch", "pod", name, "--subresource=status", "--patch", '{"status": {"phase": "Failed"}}')
    return name


def _end(job: Mapping[str, Any]) -> str:
    """Return the type of the condition by which a Job has ended, or nothing."""
    conditions = job["status"].get("conditions", ())
    return next((str(found["type"]) for found in conditions if found["type"] in {"Complete", "Failed"}), "")
