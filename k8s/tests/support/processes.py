"""A container of the manifests, run as a local process with its own command, variables, files and probes.

Each mount is a folder here, each port a free loopback port, and each host a loopback address. In all texts of the
container the first is replaced by the second.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubelet import Kept, ProbeError
from manifests import CHECKOUT, Manifests, Workload
from streamflow_local.ports import free_ports
from streamflow_local.process import inheritable
from streamflow_local.waiting import wait_until

_BIN = Path(sys.executable).parent
_JOB_TIMEOUT_S = 240


@dataclass(frozen=True)
class Node:
    """Where containers run."""

    folder: Path
    manifests: Manifests
    stand_ins: Mapping[str, str]
    """What replaces values of the configuration, and hosts with their ports."""

    secrets: Mapping[str, str]
    """The passwords, by their keys."""

    launcher: Sequence[str] = ()
    """What starts each command, as another user for example."""

    repo: Path = CHECKOUT / "feature_repo"
    """The feature repository of the image streamflow/feast."""

    def container(self, workload: str, name: str = "", *, job: str = "") -> "Container":
        """Return a container of a workload: the one with this name, or the last."""
        return Container(self, self.manifests.workload(workload), name, job or workload)

    def job(self, workload: str, name: str = "", *, job: str = "") -> "Container":
        """Run a workload's container to its end; raise AssertionError if it fails."""
        container = self.container(workload, name, job=job)
        container.run()
        return container

    def where(self, name: str, address: str) -> "Node":
        """Return the same node, on which a host with its port leads to an address."""
        return replace(self, stand_ins={**self.stand_ins, name: address})


class Container(Kept):
    """A workload's container as a local process."""

    def __init__(self, node: Node, workload: Workload, name: str, job: str) -> None:
        self.node = node
        self.pod = workload.pod
        self._job = job
        self._spec: Mapping[str, Any] = next(
            found for found in reversed(workload.containers()) if name in {"", found["name"]}
        )
        numbers = workload.ports().values()
        self.ports = dict(zip(numbers, free_ports(len(numbers)), strict=True))
        self._folder = Path(tempfile.mkdtemp(prefix=f"{workload.name}-", dir=node.folder))
        volumes = {volume["name"]: volume for volume in self.pod["volumes"]}
        self.mounts = {mount["mountPath"]: self._mounted(volumes[mount["name"]]) for mount in self.spec["volumeMounts"]}

    @property
    def spec(self) -> Mapping[str, Any]:
        return self._spec

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def run(self) -> None:
        """Run the process to its end; raise AssertionError if it fails."""
        with self.started() as process:
            code = process.wait(_JOB_TIMEOUT_S)
        assert code == 0, self.log

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the process in a block, and kill it with its children at the end of the block."""
        words = (*self.spec["command"], *self.spec.get("args", ()))
        command = [*self.node.launcher, *(self._here(word) for word in words)]
        with (
            (self._folder / "log").open("wb") as log,
            subprocess.Popen(
                command,
                cwd=self.node.repo,
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def execute(self, command: Sequence[str]) -> bool:
        raise NotImplementedError(f"no container that runs as a process is probed by a command: {command}")

    def wait_for(self, probe: str) -> None:
        """Return once a probe succeeds; raise TimeoutError with the log when a kubelet would give up."""
        wait_until(
            lambda: self.probe(probe),
            failing=ProbeError,
            timeout_s=self.patience_s(probe),
            complaint=lambda: f"{self.log[-3000:]}\nthe {probe} probe did not succeed",
        )

    def _mounted(self, volume: Mapping[str, Any]) -> Path:
        path = self._folder / str(volume["name"])
        path.mkdir()
        files: Mapping[str, str] = {}
        if "configMap" in volume:
            files = self.node.manifests.config_map(volume["configMap"]["name"])
        elif "secret" in volume:
            files = self.node.secrets
        for name, content in files.items():
            (path / name).write_text(content, encoding="utf-8")
        return path

    def _environment(self) -> dict[str, str]:
        variables: dict[str, str] = {}
        for source in self.spec.get("envFrom", ()):
            variables |= self.node.manifests.config_map(source["configMapRef"]["name"])
        variables |= self._own_variables()
        # A container inherits only the variables of its image.
        base = {name: value for name, value in inheritable(os.environ).items() if name in {"LANG", "LD_LIBRARY_PATH"}}
        return {
            **base,
            "PATH": f"{_BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.node.repo),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.mounts["/tmp"]),  # noqa: S108  # the container's
            "TMPDIR": str(self.mounts["/tmp"]),  # noqa: S108  # the same
            **{name: self._here(value) for name, value in variables.items()},
        }

    def _own_variables(self) -> dict[str, str]:
        # What comes from the pod's labels is the name of its Job.
        return {variable["name"]: variable.get("value", self._job) for variable in self.spec.get("env", ())}

    def _here(self, text: str) -> str:
        """Return a text of the container with what replaces its parts here."""
        here = {
            **{re.escape(f"$({name})"): value for name, value in self._own_variables().items()},
            **{re.escape(there): here for there, here in self.node.stand_ins.items()},
            **{rf"(?<![\w.]){re.escape(path)}(?![\w-])": str(folder) for path, folder in self.mounts.items()},
            **{rf"(?<!\d){there}(?!\d)": str(port) for there, port in self.ports.items()},
        }
        # In one pass, because a replacement may look like another part.
        pattern = "|".join(f"({there})" for there in here)
        return re.sub(pattern, lambda match: list(here.values())[(match.lastindex or 0) - 1], text)
