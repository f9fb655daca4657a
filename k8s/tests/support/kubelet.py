"""A container of the manifests, run as a local process: its command, its variables, its files, its probes.

What a container has to itself is put in other places here: each mount gets a folder, each port a free one, and hosts
are loopback. Whatever text names the one is given the other.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from manifests import CHECKOUT, Manifests, Workload
from streamflow_local import ports
from streamflow_local.process import inheritable
from streamflow_local.waiting import wait_until

_BIN = Path(sys.executable).parent
_JOB_TIMEOUT_S = 240


class ProbeError(AssertionError):
    """A probe that failed."""


@dataclass(frozen=True)
class Node:
    """Where containers are run."""

    folder: Path
    manifests: Manifests
    stand_ins: Mapping[str, str]
    """What is known by another name here: values of the configuration, and hosts with their ports."""

    secrets: Mapping[str, str]
    """The passwords, by their keys."""

    def container(self, workload: str) -> "Container":
        return Container(self, self.manifests.workload(workload))

    def job(self, workload: str) -> "Container":
        """Run a workload's container to its end; raise AssertionError when it fails."""
        container = self.container(workload)
        with container.started() as process:
            code = process.wait(_JOB_TIMEOUT_S)
        assert code == 0, container.log
        return container

    def where(self, name: str, address: str) -> "Node":
        """Return the same node, on which a host with its port leads to an address."""
        return replace(self, stand_ins={**self.stand_ins, name: address})


@dataclass
class Container:
    """A workload's last container: the only one of those that serve."""

    node: Node
    workload: Workload
    folder: Path = field(init=False)
    mounts: dict[str, Path] = field(init=False)
    ports: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        numbers = self.workload.ports().values()
        self.ports = dict(zip(numbers, ports.free_ports(len(numbers)), strict=True))
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.workload.name}-", dir=self.node.folder))
        volumes = {volume["name"]: volume for volume in self.workload.pod["volumes"]}
        self.mounts = {
            mount["mountPath"]: self._mounted(volumes[mount["name"]]) for mount in self._spec["volumeMounts"]
        }

    @property
    def log(self) -> str:
        return self._log_file.read_text(encoding="utf-8", errors="replace")

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it for the length of a block; killed after it."""
        command = [self._here(word) for word in (*self._spec["command"], *self._spec.get("args", ()))]
        with (
            self._log_file.open("wb") as log,
            subprocess.Popen(
                command,
                cwd=CHECKOUT / "feature_repo",
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                # With its children; a process that has ended may have left some.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def wait_for(self, probe: str) -> None:
        """Return once a probe succeeds; raise TimeoutError with the log when kubelet would have given it up."""
        spec = self._spec[f"{probe}Probe"]
        wait_until(
            lambda: self.probe(probe),
            failing=ProbeError,
            timeout_s=spec["periodSeconds"] * spec["failureThreshold"] + spec["timeoutSeconds"],
            complaint=lambda: f"{self.log[-3000:]}\nthe {probe} probe did not succeed",
        )

    def probe(self, probe: str) -> None:
        """Ask what a probe asks, as it asks it; raise ProbeError when that is a failure."""
        spec = self._spec[f"{probe}Probe"]
        if "grpc" in spec:
            self._probe_grpc(spec["grpc"], timeout_s=spec["timeoutSeconds"])
        else:
            self._probe_http(spec["httpGet"], timeout_s=spec["timeoutSeconds"])

    def port(self, name: str) -> int:
        return self.ports[self.workload.ports()[name]]

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.port(name)}"

    @property
    def _spec(self) -> Mapping[str, Any]:
        return self.workload.containers()[-1]

    @property
    def _log_file(self) -> Path:
        return self.folder / "log"

    def _mounted(self, volume: Mapping[str, Any]) -> Path:
        path = self.folder / str(volume["name"])
        path.mkdir()
        files: Mapping[str, str] = {}
        if "configMap" in volume:
            files = self._config_map(volume["configMap"]["name"])
        elif "secret" in volume:
            files = self.node.secrets
        for name, content in files.items():
            (path / name).write_text(content, encoding="utf-8")
        return path

    def _config_map(self, name: str) -> Mapping[str, str]:
        (found,) = [
            document for document in self.node.manifests.of_kind("ConfigMap") if document["metadata"]["name"] == name
        ]
        data: Mapping[str, str] = found["data"]
        return data

    def _environment(self) -> dict[str, str]:
        variables: dict[str, str] = {}
        for source in self._spec.get("envFrom", ()):
            variables |= self._config_map(source["configMapRef"]["name"])
        variables |= {variable["name"]: variable["value"] for variable in self._spec.get("env", ())}
        # Of this process's own no more than a container has of its image.
        base = {name: value for name, value in inheritable(os.environ).items() if name in {"LANG", "LD_LIBRARY_PATH"}}
        return {
            **base,
            "PATH": f"{_BIN}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.mounts["/tmp"]),  # noqa: S108  # the container's
            "TMPDIR": str(self.mounts["/tmp"]),  # noqa: S108  # the same
            **{name: self._here(value) for name, value in variables.items()},
        }

    def _here(self, text: str) -> str:
        """Return what stands for a container's text here."""
        here = {
            **{re.escape(there): here for there, here in self.node.stand_ins.items()},
            **{rf"(?<![\w.]){re.escape(path)}(?![\w-])": str(folder) for path, folder in self.mounts.items()},
            **{rf"(?<!\d){there}(?!\d)": str(port) for there, port in self.ports.items()},
        }
        # In one go: what stands in for one may look like another.
        pattern = "|".join(f"({there})" for there in here)
        return re.sub(pattern, lambda match: list(here.values())[(match.lastindex or 0) - 1], text)

    def _probe_http(self, probe: Mapping[str, Any], *, timeout_s: float) -> None:
        url = f"http://{self.address(probe['port'])}{probe['path']}"
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as response:  # http by construction
                response.read()
        except OSError as error:
            raise ProbeError(f"{url}: {error}") from error

    def _probe_grpc(self, probe: Mapping[str, Any], *, timeout_s: float) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self.ports[probe['port']]}") as channel:
            request = health_pb2.HealthCheckRequest(service=probe.get("service", ""))
            try:
                stub: Any = health_pb2_grpc.HealthStub(channel)
                status = stub.Check(request, timeout=timeout_s).status
            except grpc.RpcError as error:
                raise ProbeError(str(error)) from error
        if status != health_pb2.HealthCheckResponse.SERVING:
            raise ProbeError(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
