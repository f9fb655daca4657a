"""A cluster for the tests of a run, and an overlay applied to it."""

import os
from collections.abc import Iterator

import pytest
from cluster import CONTROL_PLANE, NAMESPACE, Cluster, started
from manifests import K8S


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster that KUBECONFIG names, or a control plane of its own with simulated pods."""
    kubeconfig = os.environ.get("KUBECONFIG", "")
    if kubeconfig:
        cluster = Cluster(kubeconfig)
        if not cluster.answers():
            pytest.skip("the cluster that KUBECONFIG names does not answer")
        yield cluster
        return
    if not (CONTROL_PLANE / "start").exists():
        pytest.skip("neither KUBECONFIG nor CONTROL_PLANE names a cluster")
    with started(tmp_path_factory.mktemp("control-plane")) as cluster:
        yield cluster


@pytest.fixture
def empty_cluster(control_plane: Cluster) -> Iterator[Cluster]:
    """A cluster without our namespace, which the test may make; deleted at the end."""
    if control_plane.has_namespace():
        pytest.fail(f"the cluster has a namespace {NAMESPACE} that these tests did not make, and would delete")
    yield control_plane
    if control_plane.has_namespace():
        control_plane.clear()


@pytest.fixture
def cluster(empty_cluster: Cluster) -> Cluster:
    """A cluster with our namespace, in which nothing runs; deleted at the end."""
    empty_cluster.kubectl("apply", "-k", str(K8S / "namespace"))
    return empty_cluster
