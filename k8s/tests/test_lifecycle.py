"""Each overlay with each component, from its first apply to the apply after its delete, by a user who may `edit`."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, changed
from manifests import K8S, NEEDS_AN_OPERATOR, OF_PODS, OVERLAYS, Copy, edit, templates_of

_OTHERS = sorted({path.name for path in (K8S / "components").iterdir()} - {*OF_PODS, NEEDS_AN_OPERATOR})
_COMPONENTS = [OF_PODS, *((name,) for name in _OTHERS)]
_CASES = [
    pytest.param(overlay, components, id=f"{overlay}-{components[0]}")
    for overlay in OVERLAYS
    for components in _COMPONENTS
]
_WAYS = {"client-side": "--openapi-patch=false", "server-side": "--server-side"}
"""How kubectl applies. It has the types of all objects here built in. By default it reads them from the server at each
client-side apply, which takes a second and a half of a core; the README's commands, which another test runs, do so."""
_WORKLOAD = "deployments,statefulsets,cronjobs,jobs,services,ingresses,networkpolicies,poddisruptionbudgets,hpa"
_EDITOR = "an-editor"
_VERSIONS = {"0.1.0": "0.2.0", f"sha256:{'0' * 64}": f"sha256:{'1' * 64}"}
"""The versions of our images, in an overlay and in a component, each with the next version."""


@dataclass(frozen=True)
class Overlay:
    """An overlay that is applied in one of the two ways."""

    cluster: Cluster
    folder: Path
    way: str

    def apply(self) -> str:
        """Return what kubectl says."""
        return self.cluster.kubectl("apply", _WAYS[self.way], "-k", str(self.folder))

    def state(self) -> dict[str, Any]:
        """Return the overlay's objects as the cluster has them."""
        return self.cluster.wanted(self.folder)

    def next_state(self) -> dict[str, Any]:
        """Return the objects as another apply would leave them."""
        return self.cluster.wanted(self.folder, "apply", _WAYS[self.way], "--dry-run=server")

    def delete(self) -> None:
        self.cluster.kubectl("delete", "--ignore-not-found", "-k", str(self.folder))


@pytest.fixture
def cluster_of_an_editor(control_plane: Cluster, copy: Copy) -> Iterator[Cluster]:
    """A namespace of the test's own, as a user with the ClusterRole edit in it; the manifests name this namespace."""
    cluster = replace(control_plane, namespace=f"streamflow-{uuid.uuid4().hex[:8]}")
    copy.move(cluster.namespace)
    # What an editor may not make.
    for folder in ("namespace", "priority-classes"):
        cluster.kubectl("apply", "-k", str(copy.folder / "k8s" / folder))
    cluster.ours("create", "rolebinding", _EDITOR, "--clusterrole=edit", f"--user={_EDITOR}")
    may = f"kubectl -n {cluster.namespace} --as={_EDITOR} auth can-i create secrets || true"
    # The API server hears of the binding a moment after it has been written.
    cluster.wait(lambda: cluster.shell(may, copy.folder) == "yes\n", "the editor may edit")
    yield replace(cluster, user=_EDITOR)
    cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize(("overlay", "components"), _CASES)
def test_an_overlay_is_applied_upgraded_rolled_back_deleted_and_applied_after_that(
    overlay: str, components: tuple[str, ...], way: str, cluster_of_an_editor: Cluster, copy: Copy
) -> None:
    cluster = cluster_of_an_editor
    under_test = Overlay(cluster, copy.overlay(overlay, components), way)
    cluster.ours("create", "secret", "generic", "made-by-hand", "--from-literal=password=here")
    cluster.ours("create", "configmap", "stores-ca", "--from-literal=ca.crt=here")

    under_test.apply()
    first = under_test.state()
    again = under_test.apply()
    # Server-side apply says the same of all objects, changed or not.
    assert way == "server-side" or not changed(again)
    assert under_test.state() == first

    copy.replace(_VERSIONS)
    under_test.apply()
    newer = under_test.state()
    assert _differences(first, newer) == _versions(first).keys() == _versions(newer).keys()
    assert not set().union(*_versions(first).values()) & set().union(*_versions(newer).values())

    setting = {"name": "gateway", "behavior": "merge", "literals": ["GATEWAY_DRAIN_PAUSE_S=6"]}
    edit(under_test.folder, configMapGenerator=[setting])
    under_test.apply()
    differences = _differences(newer, under_test.state())
    assert {name for name in differences if not name.startswith("ConfigMap/gateway-")} == {"Deployment/gateway"}

    copy.replace({new: old for old, new in _VERSIONS.items()})
    edit(under_test.folder, configMapGenerator=[])
    under_test.apply()
    assert under_test.state() == first

    cluster.wait(lambda: _stores_are_there(cluster), "the pods of the stores, which bring their claims")
    kept = _kept(cluster)
    under_test.delete()
    assert not cluster.items(_WORKLOAD)
    assert _kept(cluster) == kept

    under_test.apply()
    assert under_test.next_state() == under_test.state()
    assert under_test.state().keys() == first.keys()
    assert _kept(cluster) == kept


def _versions(state: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the tags or digests of our images, by the kind and name of what runs them."""
    found: dict[str, set[str]] = {}
    for name, document in state.items():
        for template in templates_of(document):
            for container in (*template["spec"].get("initContainers", ()), *template["spec"]["containers"]):
                image, _, version = container["image"].rpartition(":")
                if "streamflow/" in image:
                    found.setdefault(name, set()).add(version)
    return found


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _stores_are_there(cluster: Cluster) -> bool:
    return all(found["spec"]["replicas"] == found["status"].get("replicas") for found in cluster.items("statefulsets"))


def _kept(cluster: Cluster) -> dict[str, str]:
    """Return what holds data and what an operator made, by kind and name, each with its uid."""
    return {
        f"{found['kind']}/{found['metadata']['name']}": found["metadata"]["uid"]
        for found in (
            *cluster.items("persistentvolumeclaims"),
            *cluster.items("secrets,configmaps", "-l", "app.kubernetes.io/part-of!=streamflow-features"),
        )
    }
