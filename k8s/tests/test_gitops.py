"""Two managers of the same objects: one applies server-side, as Argo CD and Flux do, the other is a person.

The API server, its field managers and its conflicts are real.
"""

import re

import pytest
from cluster import Cluster
from manifests import Copy

_MANAGER = "argocd-controller"
_NAMES = ("feature-server", "gateway")
_FORCED = "--force-conflicts"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_with_autoscaling_a_sync_leaves_the_count_to_who_has_set_it(cluster: Cluster, copy: Copy) -> None:
    folder = str(copy.overlay("production", ("autoscaling",)))
    _sync(cluster, folder)
    _scale(cluster, 5)
    before = _versions(cluster)
    _sync(cluster, folder)
    assert _counts(cluster) == dict.fromkeys(_NAMES, 5)
    assert _versions(cluster) == before
    _sync(cluster, folder, _FORCED)
    assert _counts(cluster) == dict.fromkeys(_NAMES, 5)


def test_without_autoscaling_a_sync_conflicts_over_the_count_and_a_forced_one_takes_it_back(
    cluster: Cluster, copy: Copy
) -> None:
    folder = str(copy.overlay("production", ()))
    _sync(cluster, folder)
    _scale(cluster, 5)
    with pytest.raises(AssertionError, match=re.escape('conflict with "kubectl" with subresource "scale"')) as refused:
        _sync(cluster, folder)
    assert ".spec.replicas" in str(refused.value)
    _sync(cluster, folder, _FORCED)
    assert _counts(cluster) == dict.fromkeys(_NAMES, 3)


def test_a_forced_sync_takes_over_what_kubectl_has_applied_and_changed(cluster: Cluster, copy: Copy) -> None:
    folder = str(copy.overlay("production", ("autoscaling",)))
    cluster.kubectl("apply", "-k", folder)
    before = _images(cluster)
    # The same values are no conflict.
    _sync(cluster, folder)
    cluster.ours("set", "image", "deployment/gateway", "gateway=registry.example.com/by-hand:1")
    assert _images(cluster) != before
    with pytest.raises(AssertionError, match="conflict with"):
        _sync(cluster, folder)
    _sync(cluster, folder, _FORCED)
    assert _images(cluster) == before


def _sync(cluster: Cluster, folder: str, *options: str) -> None:
    cluster.kubectl("apply", "--server-side", f"--field-manager={_MANAGER}", *options, "-k", folder)


def _scale(cluster: Cluster, count: int) -> None:
    cluster.ours("scale", f"--replicas={count}", *(f"deployment/{name}" for name in _NAMES))


def _counts(cluster: Cluster) -> dict[str, int]:
    return {name: cluster.items("deployment", name)[0]["spec"]["replicas"] for name in _NAMES}


def _images(cluster: Cluster) -> list[str]:
    (gateway,) = cluster.items("deployment", "gateway")
    return [container["image"] for container in gateway["spec"]["template"]["spec"]["containers"]]


def _versions(cluster: Cluster) -> dict[str, int]:
    """Return the versions of what is wanted of the Deployments, which no status changes."""
    return {name: cluster.items("deployment", name)[0]["metadata"]["generation"] for name in _NAMES}
