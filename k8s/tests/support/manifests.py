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

OF_PODS = ("assigned-user-ids", "priorities", "private-registry")
"""The components that change the pods of the others, and add nothing."""

NEEDS_AN_OPERATOR = "monitoring"
"""The component of kinds that only the Prometheus operator defines; tests/test_monitoring.py is about it."""

OPTIONAL = ("autoscaling", "ingress", "network-policies", "pod-disruption-budgets", "redis-cluster", *OF_PODS)
Combination = tuple[str, tuple[str, ...]]
COMBINATIONS: list[Combination] = [
    (overlay, chosen)
    for overlay in OVERLAYS
    for count in (0, 1, 2, len(OPTIONAL))
    for chosen in combinations(OPTIONAL, count)
]
"""Every overlay with each pair of components, and with all of them: three seldom differ where no two do."""

KUBECTL = Path(sys.executable).parent / "kubectl"
_TIMEOUT_S = 60
_MEBIBYTES = {"Mi": 1, "Gi": 1024}


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
        """Whether others connect to its pods."""
        return bool(self.ports())

    @property
    def container(self) -> Mapping[str, Any]:
        """The only container that is not an init container."""
        (container,) = self.pod["containers"]
        return dict(container)

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
        return [Workload(document, template) for document in self.documents for template in templates_of(document)]

    def workload(self, name: str) -> Workload:
        (found,) = [workload for workload in self.workloads() if workload.name == name]
        return found

    def selected(self, selector: Mapping[str, str]) -> list[Workload]:
        """Return the workloads whose pods a label selector selects."""
        return [workload for workload in self.workloads() if selector.items() <= workload.labels.items()]


def build(folder: Path) -> Manifests:
    """Return the documents that `kubectl apply -k` would apply."""
    result = subprocess.run(
        [KUBECTL, "kustomize", folder], check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr
    return Manifests(list(yaml.load_all(result.stdout, Loader=yaml.CSafeLoader)))


class Copy:
    """A copy of the manifests, in which overlays can list other components."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(K8S, folder / "k8s", ignore=shutil.ignore_patterns("tests"))
        (folder / "feature_repo").mkdir()
        for name in ("kustomization.yaml", "contract.json"):
            shutil.copy(CHECKOUT / "feature_repo" / name, folder / "feature_repo" / name)
        (folder / "monitoring").mkdir()
        for name in ("kustomization.yaml", "prometheus-rules.yaml"):
            shutil.copy(CHECKOUT / "monitoring" / name, folder / "monitoring" / name)
        shutil.copytree(CHECKOUT / "monitoring/dashboards", folder / "monitoring/dashboards")

    @property
    def contract(self) -> Path:
        return self.folder / "feature_repo" / "contract.json"

    def move(self, namespace: str) -> None:
        """Have the manifests name another namespace, by the lines that the README names."""
        self.replace({"namespace: streamflow\n": f"namespace: {namespace}\n"})

    def replace(self, words: Mapping[str, str]) -> None:
        """Replace words in all kustomizations."""
        for path in self.folder.glob("k8s/**/kustomization.yaml"):
            text = path.read_text(encoding="utf-8")
            for old, new in words.items():
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")

    def build(self, overlay: str, components: tuple[str, ...]) -> Manifests:
        """Build an overlay with these optional components; threads may do so at the same time."""
        return build(self.overlay(overlay, components))

    def overlay(self, overlay: str, components: tuple[str, ...]) -> Path:
        """Write an overlay with these components; return its folder.

        Its own stores are added, unless the components have other stores.
        """
        overlays = self.folder / "k8s" / "overlays"
        folder = overlays / "_".join((overlay, "with", *components))
        shutil.copytree(overlays / overlay, folder, dirs_exist_ok=True)
        stores = () if set(components) & set(OVERLAYS.values()) else (OVERLAYS[overlay],)
        edit(folder, components=[f"../../components/{name}" for name in (*stores, *components)])
        return folder


def edit(folder: Path, **fields: Any) -> dict[str, Any]:
    """Set fields of a folder's kustomization; return what it was."""
    path = folder / "kustomization.yaml"
    kustomization: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(kustomization | fields), encoding="utf-8")
    return kustomization


def templates_of(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the template of a document's pods, if it makes any."""
    if document["kind"] in {"Deployment", "StatefulSet", "Job"}:
        yield document["spec"]["template"]
    if document["kind"] == "CronJob":
        yield document["spec"]["jobTemplate"]["spec"]["template"]


def mebibytes(quantity: str) -> int:
    """Return a quantity of memory or storage, as the manifests write it, in MiB."""
    return int(quantity[:-2]) * _MEBIBYTES[quantity[-2:]]


def _plain_name(document: Mapping[str, Any]) -> str:
    name = str(document["metadata"]["name"])
    return name.rpartition("-")[0] if document["kind"] in {"ConfigMap", "Secret"} else name
