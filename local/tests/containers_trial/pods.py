"""The workloads of k8s/overlays/local as pods that podman 4.3 can play.

A pod is the workload's own template with these differences, because podman 4.3 is neither a cluster nor a kubelet:

- Deployments, StatefulSets and CronJobs become pods, one for each replica.
- A variable that names the pod's Job has the pod's name, in the command too.
- A Service becomes an alias, in the pods' network, of each pod that the Service selects.
- Ports are published on loopback, so that the trial can call them.
- Probes are left out: podman changes `exec` probes, needs curl in the image for `httpGet`, and does not know `grpc`.
- A secret's volume has `optional: false`; without it podman 4.3 crashes.
- The names of pods, ConfigMaps, Secrets, claims and volumes have the trial's prefix: podman has no namespaces, and its
  volumes are global. All volumes are on disk, whatever their `medium` is, without a size limit and without file modes.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubelet import Kept
from manifests import K8S, Workload, build
from streamflow_local.ports import free_ports
from trial import PROJECT, Trial

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@dataclass
class Pod(Kept):
    """One pod of a workload."""

    trial: Trial
    name: str

    pod: Mapping[str, Any]
    """The spec in the manifests, with its probes."""

    ports: Mapping[int, int]

    aliases: Sequence[str]
    """The Services that select the pod."""

    documents: Sequence[Mapping[str, Any]]
    """What podman plays."""

    @property
    def short_name(self) -> str:
        """The name without the trial's prefix."""
        return self.name.removeprefix(f"{PROJECT}-")

    @property
    def container(self) -> str:
        """podman's name for the pod's only container."""
        return f"{self.name}-{self.spec['name']}"

    def execute(self, command: Sequence[str]) -> bool:
        """Return whether a command succeeds in the container."""
        return self.trial.succeeds("exec", self.container, *command)


class Workloads:
    """The manifests of the local overlay."""

    def __init__(self, trial: Trial, *, images: Mapping[str, str]) -> None:
        """Build the overlay; `images` replace other images."""
        self.manifests = build(K8S / "overlays" / "local")
        self._trial = trial
        self._images = images

    def shared(self) -> list[Mapping[str, Any]]:
        """Return what pods share and what is played once: the Secrets and the claims."""
        found = [*self.manifests.of_kind("Secret", "PersistentVolumeClaim")]
        for stateful in self.manifests.of_kind("StatefulSet"):
            for claim in stateful["spec"].get("volumeClaimTemplates", ()):
                name = _claim(claim, stateful["metadata"]["name"])
                found.append(
                    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": claim["spec"]} | _named(name)
                )
        return [_renamed(document) for document in found]

    def pods(self, name: str) -> list[Pod]:
        """Return the pods of a workload, one for each replica."""
        workload = self.manifests.workload(name)
        replicas = workload.document["spec"].get("replicas", 1)
        return [self._pod(workload, f"{PROJECT}-{name}-{number}") for number in range(replicas)]

    def _pod(self, workload: Workload, name: str) -> Pod:
        numbers = workload.ports().values()
        published = dict(zip(numbers, free_ports(len(numbers)), strict=True))
        spec = copy.deepcopy(dict(workload.pod))
        claims = [
            {
                "name": claim["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": _claim(claim, workload.name)},
            }
            for claim in workload.document["spec"].get("volumeClaimTemplates", ())
        ]
        spec["volumes"] = [_volume(volume, name) for volume in (*spec.get("volumes", ()), *claims)]
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            self._adapt(container, pod=name, published=published)
        document = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": workload.labels},
            "spec": spec,
        }
        services = [
            str(service["metadata"]["name"])
            for service in self.manifests.of_kind("Service")
            if service["spec"]["selector"].items() <= workload.labels.items()
        ]
        config_maps = [_renamed(found) for found in self.manifests.of_kind("ConfigMap")]
        return Pod(self._trial, name, workload.pod, published, services, [*config_maps, document])

    def _adapt(self, container: dict[str, Any], *, pod: str, published: Mapping[int, int]) -> None:
        for probe in _PROBES:
            container.pop(probe, None)
        for variable in container.get("env", ()):
            if variable.pop("valueFrom", None):
                variable["value"] = pod
                container["command"] = [word.replace(f"$({variable['name']})", pod) for word in container["command"]]
        container["image"] = self._images.get(container["image"], container["image"])
        for source in container.get("envFrom", ()):
            source["configMapRef"]["name"] = f"{PROJECT}-{source['configMapRef']['name']}"
        for port in container.get("ports", ()):
            port |= {"hostIP": "127.0.0.1", "hostPort": published[port["containerPort"]]}
        for mount in container.get("volumeMounts", ()):
            mount["name"] = f"{pod}-{mount['name']}"


def _claim(claim: Mapping[str, Any], workload: str) -> str:
    return f"{claim['metadata']['name']}-{workload}-0"


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def _renamed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with a name of the trial's own, and no other metadata."""
    return {**document, **_named(f"{PROJECT}-{document['metadata']['name']}")}


def _volume(volume: dict[str, Any], pod: str) -> dict[str, Any]:
    """Return a pod's volume with names of the trial's own."""
    adapted = {**volume, "name": f"{pod}-{volume['name']}"}
    for kind, key in (("configMap", "name"), ("secret", "secretName"), ("persistentVolumeClaim", "claimName")):
        if kind in volume:
            adapted[kind] = {**volume[kind], key: f"{PROJECT}-{volume[kind][key]}"}
    if "secret" in volume:
        adapted["secret"]["optional"] = False
    return adapted
