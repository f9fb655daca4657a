"""The workloads of k8s/overlays/local, played by podman; the trial does what a kubelet would beside."""

import time
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from commands import CHECKOUT, CommandError
from gateways import serving
from pods import Pod, Workloads
from trial import PROJECT, Trial

_OVERLAY = CHECKOUT / "k8s" / "overlays" / "local"
_NETWORK = f"{PROJECT}-pods"
_SHARED = "shared.yaml"


@dataclass
class Played:
    """The pods that were played."""

    trial: Trial
    folder: Path
    """Where what is played may be written."""

    images: Mapping[str, str]
    """What stands in for public images."""

    workloads: Workloads = field(init=False)
    pods: dict[str, list[Pod]] = field(init=False, default_factory=dict)
    """Each workload's, once it is played."""

    def __post_init__(self) -> None:
        """Build the overlay."""
        self.workloads = Workloads(_OVERLAY, images=self.images)

    @property
    def ports(self) -> Collection[int]:
        """The host's ports that lead to pods while they run."""
        return [port for pods in self.pods.values() for pod in pods for port in pod.ports.values()]

    def prepare(self) -> None:
        """Make the network, the Secrets and the claims."""
        self.trial.podman("network", "create", _NETWORK)
        self._play(_SHARED, self.workloads.shared(), network=_NETWORK)

    def play(self, workload: str) -> list[Pod]:
        """Play a workload's pods and return them; with init containers, once these are done."""
        self.pods[workload] = self.workloads.pods(workload)
        for pod in self.pods[workload]:
            network = f"{_NETWORK}:{','.join(f'alias={alias}' for alias in pod.aliases)}".rstrip(":")
            self._play(f"{pod.name}.yaml", pod.documents, network=network)
        return self.pods[workload]

    def run(self, job: str) -> Pod:
        """Play a job, wait for its end and say whether it ended well."""
        (pod,) = self.play(job)
        self.trial.wait_until_done(job, pod.container)
        return pod

    def probe(self, pod: Pod, name: str) -> bool:
        """Return whether a probe of a pod's container succeeds, asked as its manifest has it."""
        spec = pod.containers[pod.container][f"{name}Probe"]
        if "exec" in spec:
            return self.trial.succeeds("exec", pod.container, *spec["exec"]["command"])
        if "grpc" in spec:
            address = f"127.0.0.1:{pod.ports[spec['grpc']['port']]}"
            return serving(address, spec["grpc"].get("service", ""), timeout_s=spec["timeoutSeconds"])
        return _is_answered(pod, spec)

    def wait_for(self, pod: Pod, probe: str, *, timeout_s: float | None = None) -> None:
        """Wait for a probe to succeed, by default for as long as a kubelet would, and say whether it did."""
        spec = pod.containers[pod.container][f"{probe}Probe"]
        given_s = timeout_s or spec["periodSeconds"] * spec["failureThreshold"]
        self.trial.wait(f"{_short(pod)}'s {probe} probe succeeds", lambda: self.probe(pod, probe), timeout_s=given_s)

    def stop(self, pod: Pod, *, pre_stop: bool = True) -> None:
        """End a pod as a kubelet does, and say whether it ended by itself in its grace period."""
        grace_s = pod.spec["terminationGracePeriodSeconds"]
        sleep_s = (
            pod.containers[pod.container].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        )
        if pre_stop:
            time.sleep(sleep_s)
        started = time.monotonic()
        self.trial.podman("stop", "--time", str(grace_s - sleep_s), pod.container)
        took_s = time.monotonic() - started
        self.trial.check_ended(_short(pod), pod.container, within_s=grace_s - sleep_s, took_s=took_s)

    def start_again(self, pod: Pod) -> None:
        """Start a pod that was ended."""
        self.trial.podman("pod", "start", pod.name)

    def down(self) -> None:
        """Remove pods, volumes, secrets and the network of this trial or an earlier one."""
        for names, remove in (
            (("pod", "ps", "--format", "{{.Name}}"), ("pod", "rm", "--force", "--time", "5")),
            (("volume", "ls", "--format", "{{.Name}}"), ("volume", "rm", "--force")),
            (("secret", "ls", "--format", "{{.Name}}"), ("secret", "rm")),
            (("network", "ls", "--format", "{{.Name}}"), ("network", "rm", "--force")),
        ):
            for name in self.trial.podman(*names).split():
                if name.startswith(f"{PROJECT}-"):
                    self.trial.podman(*remove, name)

    def _play(self, file: str, documents: Sequence[Mapping[str, Any]], *, network: str) -> None:
        path = self.folder / file
        path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        printed = self.trial.podman("kube", "play", "--network", network, str(path))
        if "Error" in printed:
            raise CommandError(printed)


def _is_answered(pod: Pod, spec: Mapping[str, Any]) -> bool:
    named = {port["name"]: port["containerPort"] for port in pod.containers[pod.container]["ports"]}
    url = f"http://127.0.0.1:{pod.ports[named[spec['httpGet']['port']]]}{spec['httpGet']['path']}"
    try:
        with urllib.request.urlopen(url, timeout=spec["timeoutSeconds"]):  # http by construction
            return True
    except OSError:
        return False


def _short(pod: Pod) -> str:
    return pod.name.removeprefix(f"{PROJECT}-")
