"""What the API server makes of the pods: their priorities, and how long they stay on a lost node."""

import json
from typing import Any

import pytest
from cluster import Cluster
from manifests import K8S, Copy

_LOST = {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pods_have_the_priority_of_their_class_and_servers_leave_a_lost_node_after_30_s(
    cluster: Cluster, copy: Copy
) -> None:
    classes = str(K8S / "priority-classes")
    cluster.kubectl("apply", "-k", classes)
    try:
        made = json.loads(cluster.kubectl("get", "-k", classes, "-o", "json"))["items"]
        value = {found["metadata"]["name"]: found["value"] for found in made}
        cluster.kubectl("apply", "-k", str(copy.overlay("local", ("priorities",))))
        cluster.wait(lambda: {"job", "serving", "store"} <= _pods(cluster).keys(), "pods of each kind")
        pods = _pods(cluster)
        assert {kind: pod["priority"] for kind, pod in pods.items()} == {
            "job": value["streamflow-jobs"],
            "serving": value["streamflow-serving"],
            "store": value["streamflow-stores"],
        }
        lost = {each["key"]: each["tolerationSeconds"] for each in pods["serving"]["tolerations"]}
        assert lost == dict.fromkeys(_LOST, 30)
    finally:
        cluster.kubectl("delete", "-k", classes)


def _pods(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Return the spec of a pod of each kind."""
    return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["spec"] for pod in cluster.items("pods")}
