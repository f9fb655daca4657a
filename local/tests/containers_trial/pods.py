"""The workloads of an overlay as pods that podman 4.3 plays.

A pod is the workload's own template, but for this, since podman 4.3 is neither a cluster nor a kubelet:

- Deployments, StatefulSets, Jobs and CronJobs are pods, one a replica.
- A Service is an alias, on the pods' network, of each pod that it selects.
- Ports are published on loopback, to be called from outside.
- Probes are left out: `exec` ones are not taken as they are, `httpGet` ones need curl in the image, and `grpc` is not
  known.
- A secret's volume says `optional: false`, without which podman 4.3 crashes.
- The names of pods, ConfigMaps, Secrets, claims and volumes are the trial's own: podman knows no namespaces, and its
  volumes are by name. They lie on disk, `medium` or not, without a limit to their size or modes of their files.
"""

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from commands import run
from streamflow_local import ports
from trial import PROJECT

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_KUBECTL = Path(sys.executable).parent / "kubectl"


@dataclass(frozen=True)
class Pod:
    """One pod of a workload."""

    name: str
    spec: Mapping[str, Any]
    """The workload's own, with its probes."""

    aliases: Sequence[str]
    """The Services that select it."""

    ports: Mapping[int, int]
    """Where its containers' ports are on loopback."""

    documents: Sequence[Mapping[str, Any]]
    """What is played."""

    @property
    def containers(self) -> Mapping[str, Mapping[str, Any]]:
        """The workload's own containers, by podman's names for them."""
        return {f"{self.name}-{container['name']}": container for container in self.spec["containers"]}

    @property
    def container(self) -> str:
        """The name of the only container."""
        (name,) = self.containers
        return name


class Workloads:
    """What an overlay's manifests have."""

    def __init__(self, overlay: Path, *, images: Mapping[str, str]) -> None:
        """Build the overlay; `images` are run in place of others."""
        text = run([str(_KUBECTL), "kustomize", str(overlay)], timeout_s=60)
        self._documents: list[dict[str, Any]] = list(yaml.safe_load_all(text))
        self._images = images

    def shared(self) -> list[Mapping[str, Any]]:
        """Return what pods share and is played once: the Secrets and the claims."""
        found = [*self._of_kind("Secret"), *self._of_kind("PersistentVolumeClaim")]
        for stateful in self._of_kind("StatefulSet"):
            for claim in stateful["spec"].get("volumeClaimTemplates", ()):
                name = _claim(claim["metadata"]["name"], stateful["metadata"]["name"])
                found.append(
                    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": claim["spec"]} | _named(name)
                )
        return [document | _named(_own(document["metadata"]["name"])) for document in found]

    def pods(self, workload: str) -> list[Pod]:
        """Return a workload's pods, as many as it has replicas."""
        (document,) = [
            found
            for found in self._of_kind("Deployment", "StatefulSet", "Job", "CronJob")
            if found["metadata"]["name"] == workload
        ]
        spec = document["spec"]
        return [self._pod(document, f"{_own(workload)}-{number}") for number in range(spec.get("replicas", 1))]

    def data(self, config_map: str) -> Mapping[str, str]:
        """Return what a generated ConfigMap holds."""
        (found,) = [
            document["data"]
            for document in self._of_kind("ConfigMap")
            if document["metadata"]["name"].rpartition("-")[0] == config_map
        ]
        data: Mapping[str, str] = found
        return data

    def _pod(self, document: Mapping[str, Any], name: str) -> Pod:
        spec = document["spec"]
        template = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
        inner = [
            port["containerPort"] for container in template["spec"]["containers"] for port in container.get("ports", ())
        ]
        published = dict(zip(inner, ports.free_ports(len(inner)), strict=True))
        claimed = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())]
        workload = document["metadata"]["name"]
        claims = [{"name": one, "persistentVolumeClaim": {"claimName": _claim(one, workload)}} for one in claimed]
        played = copy.deepcopy(template["spec"])
        played["volumes"] = [_volume(volume, name) for volume in (*played.get("volumes", ()), *claims)]
        for container in (*played.get("initContainers", ()), *played["containers"]):
            self._adapt(container, pod=name, published=published)
        labels = template["metadata"]["labels"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": played}
        config_maps = [found | _named(_own(found["metadata"]["name"])) for found in self._of_kind("ConfigMap")]
        return Pod(name, template["spec"], self._services(labels), published, [*config_maps, pod])

    def _adapt(self, container: dict[str, Any], *, pod: str, published: Mapping[int, int]) -> None:
        for probe in _PROBES:
            container.pop(probe, None)
        container["image"] = self._images.get(container["image"], container["image"])
        for source in container.get("envFrom", ()):
            source["configMapRef"]["name"] = _own(source["configMapRef"]["name"])
        for port in container.get("ports", ()):
            port |= {"hostIP": "127.0.0.1", "hostPort": published[port["containerPort"]]}
        for mount in container.get("volumeMounts", ()):
            mount["name"] = f"{pod}-{mount['name']}"

    def _services(self, labels: Mapping[str, str]) -> list[str]:
        return [
            str(service["metadata"]["name"])
            for service in self._of_kind("Service")
            if service["spec"]["selector"].items() <= labels.items()
        ]

    def _of_kind(self, *kinds: str) -> list[dict[str, Any]]:
        return [document for document in self._documents if document["kind"] in kinds]


def _own(name: str) -> str:
    return f"{PROJECT}-{name}"


def _claim(claim: str, workload: str) -> str:
    return f"{claim}-{workload}-0"


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def _volume(volume: dict[str, Any], pod: str) -> dict[str, Any]:
    """Return a pod's volume under names of the trial's own."""
    adapted = {**volume, "name": f"{pod}-{volume['name']}"}
    if "configMap" in volume:
        adapted["configMap"] = {**volume["configMap"], "name": _own(volume["configMap"]["name"])}
    if "secret" in volume:
        secret = volume["secret"]
        adapted["secret"] = {**secret, "secretName": _own(secret["secretName"]), "optional": False}
    if "persistentVolumeClaim" in volume:
        adapted["persistentVolumeClaim"] = {"claimName": _own(volume["persistentVolumeClaim"]["claimName"])}
    return adapted
