"""What a kubelet does for a container: it asks the probes, and it waits before and after SIGTERM.

Both ways in which tests run the manifests use it: as local processes (`processes.py`), and as pods of podman
(`local/tests/containers_trial`).
"""

import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


class ProbeError(AssertionError):
    """A probe failed."""


class Kept(ABC):
    """The main container of a pod, kept as a kubelet keeps it."""

    pod: Mapping[str, Any]
    """The pod's spec."""

    ports: Mapping[int, int]
    """The loopback port of each port of the container."""

    @abstractmethod
    def execute(self, command: Sequence[str]) -> bool:
        """Return whether a command succeeds in the container."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """The container's spec."""
        container: Mapping[str, Any] = self.pod["containers"][-1]
        return container

    @property
    def grace_s(self) -> float:
        """Seconds from SIGTERM, including the preStop hook, until the container is killed."""
        return float(self.pod["terminationGracePeriodSeconds"])

    @property
    def pre_stop_s(self) -> float:
        """Seconds that the preStop hook sleeps before SIGTERM."""
        return float(self.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0))

    def address(self, port: str | int) -> str:
        """Return the loopback address of a port, by its name or number."""
        named = {found["name"]: found["containerPort"] for found in self.spec["ports"]}
        return f"127.0.0.1:{self.ports[named[port] if isinstance(port, str) else port]}"

    def patience_s(self, probe: str) -> float:
        """Return for how many seconds a probe may fail until a kubelet acts."""
        spec = self.spec[f"{probe}Probe"]
        return float(spec["periodSeconds"] * spec["failureThreshold"] + spec["timeoutSeconds"])

    def probe(self, probe: str) -> None:
        """Ask a probe once; raise ProbeError if the probe fails."""
        spec = self.spec[f"{probe}Probe"]
        if "exec" in spec:
            if not self.execute(spec["exec"]["command"]):
                raise ProbeError(f"{spec['exec']['command']} fails")
        elif "grpc" in spec:
            service = spec["grpc"].get("service", "")
            _probe_grpc(self.address(spec["grpc"]["port"]), service, timeout_s=spec["timeoutSeconds"])
        else:
            url = f"http://{self.address(spec['httpGet']['port'])}{spec['httpGet']['path']}"
            _probe_http(url, timeout_s=spec["timeoutSeconds"])


def _probe_http(url: str, *, timeout_s: float) -> None:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:  # noqa: S310  # http by construction
            response.read()
    except OSError as error:
        raise ProbeError(f"{url}: {error}") from error


def _probe_grpc(address: str, service: str, *, timeout_s: float) -> None:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s).status
        except grpc.RpcError as error:
            raise ProbeError(str(error)) from error
    if status != health_pb2.HealthCheckResponse.SERVING:
        raise ProbeError(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
