"""The workloads of k8s/overlays/local, played by podman; the trial does the work of a kubelet."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kubelet import ProbeError
from pods import Pod, Workloads
from trial import PROJECT, CommandError, Trial

_NETWORK = f"{PROJECT}-pods"


@dataclass
class Played:
    """The pods that were played."""

    trial: Trial
    folder: Path
    """Where the trial may write what podman plays."""

    images: Mapping[str, str]
    """What replaces public images."""

    workloads: Workloads = field(init=False)
    pods: dict[str, list[Pod]] = field(init=False, default_factory=dict)
    """The pods of each workload that was played."""

    def __post_init__(self) -> None:
        """Build the overlay."""
        self.workloads = Workloads(self.trial, images=self.images)

    @property
    def ports(self) -> Collection[int]:
        """The host's ports that lead to pods while these run."""
        return [port for pods in self.pods.values() for pod in pods for port in pod.ports.values()]

    def prepare(self) -> None:
        """Create the network, the Secrets and the claims."""
        self.trial.podman("network", "create", _NETWORK)
        self._play("shared.yaml", self.workloads.shared(), network=_NETWORK)

    def play(self, workload: str) -> list[Pod]:
        """Play the pods of a workload, return once their init containers are done, and return the pods."""
        self.pods[workload] = self.workloads.pods(workload)
        for pod in self.pods[workload]:
            network = f"{_NETWORK}:{','.join(f'alias={alias}' for alias in pod.aliases)}".rstrip(":")
            self._play(f"{pod.name}.yaml", pod.documents, network=network)
        return self.pods[workload]

    def run(self, job: str) -> Pod:
        """Play a job, wait for its end and check that it succeeded."""
        (pod,) = self.play(job)
        self.trial.wait_until_done(job, pod.container)
        return pod

    def probe(self, pod: Pod, name: str) -> bool:
        """Return whether a probe of a pod succeeds."""
        try:
            pod.probe(name)
        except ProbeError:
            return False
        return True

    def wait_for(self, pod: Pod, probe: str, *, timeout_s: float | None = None) -> None:
        """Wait for a probe, by default as long as a kubelet would, and check that it succeeds."""
        self.trial.wait(
            f"{pod.short_name}'s {probe} probe succeeds",
            lambda: self.probe(pod, probe),
            timeout_s=timeout_s or pod.patience_s(probe),
        )

    def stop(self, pod: Pod, *, pre_stop: bool = True) -> None:
        """Stop a pod as a kubelet does, and check that it exits by itself within its grace period."""
        if pre_stop:
            time.sleep(pod.pre_stop_s)
        within_s = pod.grace_s - pod.pre_stop_s
        started = time.monotonic()
        self.trial.podman("stop", "--time", f"{within_s:.0f}", pod.container)
        took_s = time.monotonic() - started
        self.trial.check_ended(pod.short_name, pod.container, within_s=within_s, took_s=took_s)

    def start_again(self, pod: Pod) -> None:
        """Start a pod that was stopped."""
        self.trial.podman("pod", "start", pod.name)

    def down(self) -> None:
        """Remove pods, volumes, secrets and the network of this trial and of earlier ones."""
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
