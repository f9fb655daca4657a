"""The documents that `kubectl kustomize` builds from an overlay and its components."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
K8S = CHECKOUT / "k8s"
OVERLAYS = {"local": "in-cluster-stores", "production": "external-stores"}
"""The overlays, each with the component that configures its stores."""

OPTIONAL = ("autoscaling", "ingress", "network-policies", "pod-disruption-budgets", "redis-cluster")
Combination = tuple[str, tuple[str, ...]]
COMBINATIONS: list[Combination] = [
    (overlay, chosen)
    for overlay in OVERLAYS
    for count in range(len(OPTIONAL) + 1)
    for chosen in combinations(OPTIONAL, count)
]
"""Every overlay with every choice of components."""

_KUBECTL = Path(sys.executable).parent / "kubectl"
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Workload:
    """A document that creates pods."""

    document: Mapping[str, Any]
    template: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.document["kind"])

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def pod(self) -> Mapping[str, Any]:
        pod: Mapping[str, Any] = self.template["spec"]
        return pod

    @property
    def labels(self) -> Mapping[str, str]:
        labels: Mapping[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def serves(self) -> bool:
        """Whether its pods run until they are stopped."""
        return self.kind in {"Deployment", "StatefulSet"}

    def containers(self) -> list[Mapping[str, Any]]:
        """Return the init containers, then the other containers."""
        return [*self.pod.get("initContainers", ()), *self.pod["containers"]]

    def ports(self) -> dict[str, int]:
        return {
            port["name"]: port["containerPort"]
            for container in self.pod["containers"]
            for port in container.get("ports", ())
        }


@dataclass(frozen=True)
class Manifests:
    """The documents of an overlay with its components."""

    documents: list[Mapping[str, Any]]

    def of_kind(self, *kinds: str) -> list[Mapping[str, Any]]:
        return [document for document in self.documents if document["kind"] in kinds]

    def find(self, kind: str, name: str) -> Mapping[str, Any]:
        """Return a document; leave the hash out of the name of a generated ConfigMap or Secret."""
        (found,) = [document for document in self.of_kind(kind) if _plain_name(document) == name]
        return found

    def config_map(self, name: str) -> Mapping[str, str]:
        """Return the data of the ConfigMap with this name, hash included."""
        (data,) = [found["data"] for found in self.of_kind("ConfigMap") if found["metadata"]["name"] == name]
        return dict(data)

    def names(self, kind: str) -> set[str]:
        return {str(document["metadata"]["name"]) for document in self.of_kind(kind)}

    def workloads(self) -> list[Workload]:
        return [Workload(document, template) for document in self.documents for template in _templates(document)]

    def workload(self, name: str) -> Workload:
        (found,) = [workload for workload in self.workloads() if workload.name == name]
        return found

    def selected(self, selector: Mapping[str, str]) -> list[Workload]:
        """Return the workloads whose pods a label selector selects."""
        return [workload for workload in self.workloads() if selector.items() <= workload.labels.items()]


def build(folder: Path) -> Manifests:
    """Return the documents that `kubectl apply -k` would apply."""
    result = subprocess.run(
        [_KUBECTL, "kustomize", folder], check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr
    return Manifests(list(yaml.load_all(result.stdout, Loader=yaml.CSafeLoader)))


class Copy:
    """A copy of the manifests, in which overlays can list other components."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(K8S, folder / "k8s", ignore=shutil.ignore_patterns("tests"))
        (folder / "feature_repo").mkdir()
        for name in ("kustomization.yaml", "contract.json"):
            shutil.copy(CHECKOUT / "feature_repo" / name, folder / "feature_repo" / name)

    @property
    def contract(self) -> Path:
        return self._folder / "feature_repo" / "contract.json"

    def build(self, overlay: str, components: tuple[str, ...]) -> Manifests:
        """Build an overlay with these optional components; threads may do so at the same time."""
        folder = self._folder / "k8s" / "overlays" / "_".join((overlay, *components))
        shutil.copytree(K8S / "overlays" / overlay, folder, dirs_exist_ok=True)
        path = folder / "kustomization.yaml"
        kustomization = yaml.safe_load(path.read_text(encoding="utf-8"))
        kustomization["components"] = [f"../../components/{name}" for name in (OVERLAYS[overlay], *components)]
        path.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return build(folder)


def _templates(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if document["kind"] in {"Deployment", "StatefulSet", "Job"}:
        yield document["spec"]["template"]
    if document["kind"] == "CronJob":
        yield document["spec"]["jobTemplate"]["spec"]["template"]


def _plain_name(document: Mapping[str, Any]) -> str:
    name = str(document["metadata"]["name"])
    return name.rpartition("-")[0] if document["kind"] in {"ConfigMap", "Secret"} else name
