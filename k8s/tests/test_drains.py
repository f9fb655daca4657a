"""Nodes are drained, and every pod still finds a place. The scheduler, the controllers and the evictions are real."""

import json
from collections import Counter

import pytest
from cluster import Cluster
from manifests import Copy

_CLOSED = "closed-to-our-pods"


@pytest.fixture
def nodes(cluster: Cluster) -> list[str]:
    """The nodes that our pods can go to: at least three. A fourth has a taint, as a control plane's node has."""
    found = [
        node["metadata"]["name"]
        for node in json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
        if not node["spec"].get("taints") and not node["spec"].get("unschedulable")
    ]
    if len(found) < 3:
        pytest.skip("a cluster of three nodes is needed")
    labels = {"kubernetes.io/hostname": _CLOSED, "topology.kubernetes.io/zone": _CLOSED}
    taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": _CLOSED, "labels": labels},
        "spec": {"taints": [taint]},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(node))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nodes_are_drained_one_after_the_other_during_a_rollout(cluster: Cluster, nodes: list[str], copy: Copy) -> None:
    cluster.kubectl("apply", "-k", str(copy.overlay("production", ("pod-disruption-budgets",))))
    try:
        cluster.ours("scale", "--replicas=6", "deployment/gateway")
        cluster.serve("gateway", "feature-server")
        assert sorted(_pods(cluster, "gateway").values()) == [2, 2, 2]
        # What fits on one node beside the feature servers and `apply`.
        cluster.ours("scale", "--replicas=3", "deployment/gateway")
        cluster.serve("gateway")
        with cluster.drained(nodes[0]):
            cluster.ours("rollout", "restart", "deployment/gateway", "deployment/feature-server")
            with cluster.drained(nodes[1]):
                cluster.serve("gateway", "feature-server")
                assert _pods(cluster, "gateway").keys() == set(nodes) - set(nodes[:2])
        cluster.ours("rollout", "restart", "deployment/gateway", "deployment/feature-server")
        with cluster.drained(nodes[2]):
            cluster.serve("gateway", "feature-server")
            assert _pods(cluster, "gateway").keys() <= {*nodes[:2], *nodes[3:]}
    finally:
        cluster.kubectl("delete", "node", _CLOSED)


def _pods(cluster: Cluster, name: str) -> Counter[str]:
    """Return how many ready pods a node has, by the node's name; those that end are not counted."""
    return Counter(
        pod["spec"]["nodeName"]
        for pod in cluster.items("pods", "-l", f"app.kubernetes.io/name={name}")
        if "deletionTimestamp" not in pod["metadata"]
    )
