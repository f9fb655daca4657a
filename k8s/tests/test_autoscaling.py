"""`components/autoscaling` is added to what runs and removed from it, by the README's commands."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import Cluster
from manifests import KUBECTL, Copy
from pretended_metrics import pretended_metrics
from readme import blocks, lines

_MINIMUM = {"gateway": 3, "feature-server": 3}
_SERVING = ("-l", "app.kubernetes.io/component=serving")
_PRODUCTION = "k8s/overlays/production"
_WAYS = {"client-side": "kubectl apply", "server-side": "kubectl apply --server-side"}
_AT_ONCE = [
    {
        "op": "replace",
        "path": "/spec/behavior/scaleDown",
        "value": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 12, "periodSeconds": 15}]},
    }
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", _WAYS)
def test_autoscaling_is_added_and_removed_without_going_below_the_minimum(
    way: str, cluster: Cluster, copy: Copy, tmp_path: Path
) -> None:
    fixed = copy.overlay("production", ())
    cluster.shell(f"{_WAYS[way]} -k {fixed}", tmp_path)
    cluster.serve(*_MINIMUM)
    counts = tmp_path / "counts"
    with _watched(cluster, counts):
        for step, overlay in (("Add", copy.overlay("production", ("autoscaling",))), ("Remove", fixed)):
            for line in _lines(step, way):
                cluster.shell(line.replace(_PRODUCTION, str(overlay)), tmp_path)
            assert len(cluster.items("hpa")) == (len(_MINIMUM) if step == "Add" else 0)
        # All writes before this one have been seen with it.
        cluster.ours("annotate", "deployments", "--all", "watched=to-here")
        cluster.wait(lambda: counts.read_text(encoding="utf-8").count("to-here") >= len(_MINIMUM), "a last write")
    assert min(int(line.split()[1]) for line in counts.read_text(encoding="utf-8").splitlines()) == 3
    cluster.serve(*_MINIMUM)
    assert _replicas(cluster) == _MINIMUM


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_first_install_with_autoscaling_has_the_minimum_once_its_rollout_has_ended(
    cluster: Cluster, copy: Copy, tmp_path: Path
) -> None:
    cluster.kubectl("apply", "-k", str(copy.overlay("production", ("autoscaling",))))
    (line,) = [line for line in lines() if " scale --replicas=3 " in line]
    cluster.shell(line, tmp_path)
    cluster.serve(*_MINIMUM)
    assert {
        found["metadata"]["name"]: found["status"]["readyReplicas"] for found in cluster.items("deploy", *_SERVING)
    } == _MINIMUM


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_local_stack_with_little_to_do_stays_at_its_minimum(cluster: Cluster, copy: Copy, tmp_path: Path) -> None:
    with pretended_metrics(cluster, tmp_path) as load:
        # A tenth of what a pod can do, and all that it requests here.
        load.set(gateway=200, feature_server=200)
        cluster.kubectl("apply", "-k", str(copy.overlay("local", ("autoscaling",))))
        cluster.wait(lambda: _measured(cluster) == {"gateway": "100m", "feature-server": "100m"}, "two pods of each")
        assert _replicas(cluster) == {"gateway": 2, "feature-server": 2}
        assert _wanted(cluster) == {"gateway": 2, "feature-server": 2}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_load_brings_twelve_of_each_and_three_are_left_when_it_has_gone(
    cluster: Cluster, copy: Copy, tmp_path: Path
) -> None:
    with pretended_metrics(cluster, tmp_path) as load:
        load.set(gateway=1500, feature_server=1500)
        cluster.kubectl("apply", "-k", str(copy.overlay("production", ("autoscaling",))))
        cluster.wait(lambda: _wanted(cluster) == _MINIMUM, "the minimum")
        load.set(gateway=12_000, feature_server=12_000)
        cluster.wait(lambda: _replicas(cluster) == dict.fromkeys(_MINIMUM, 12), "twelve of each")
        for name in _MINIMUM:
            # The manifests take away a pod a minute, after five quiet minutes.
            cluster.ours("patch", "hpa", name, "--type=json", "--patch", json.dumps(_AT_ONCE))
        load.set(gateway=1500, feature_server=1500)
        cluster.wait(lambda: _replicas(cluster) == _MINIMUM, "three of each")
        cluster.serve(*_MINIMUM)


def _wanted(cluster: Cluster) -> dict[str, int]:
    return {found["metadata"]["name"]: found["status"].get("desiredReplicas", 0) for found in cluster.items("hpa")}


def _measured(cluster: Cluster) -> dict[str, str]:
    """Return the CPU of a pod on average, as each autoscaler has read it."""
    return {
        found["metadata"]["name"]: metric["resource"]["current"]["averageValue"]
        for found in cluster.items("hpa")
        for metric in found["status"].get("currentMetrics") or ()
        if "resource" in metric
    }


def _lines(step: str, way: str) -> tuple[str, ...]:
    """Return the commands of the README by which autoscaling is added or removed."""
    (found,) = [
        block.lines
        for block in blocks()
        if block.lead == f"{step} autoscaling" and block.lines[-1].startswith(f"{_WAYS[way]} -")
        if ("--server-side" in block.lines[-1]) == (way == "server-side")
    ]
    assert _PRODUCTION in found[-1]
    return found


@contextmanager
def _watched(cluster: Cluster, file: Path) -> Iterator[None]:
    """Write each replica count that is set during a block to a file: one a line, after the Deployment's name."""
    columns = '{.metadata.name} {.spec.replicas} {.metadata.annotations.watched}{"\\n"}'
    with file.open("w", encoding="utf-8") as out:
        watch = subprocess.Popen(
            [KUBECTL, "-n", cluster.namespace, "get", "deployments", *_SERVING, "--watch", f"-o=jsonpath={columns}"],
            stdout=out,
            env=cluster.environment,
        )
    try:
        cluster.wait(lambda: len(file.read_text(encoding="utf-8").splitlines()) >= len(_MINIMUM), "a watch")
        yield
    finally:
        watch.kill()
        watch.wait()


def _replicas(cluster: Cluster) -> dict[str, int]:
    return {found["metadata"]["name"]: found["spec"]["replicas"] for found in cluster.items("deployments", *_SERVING)}
