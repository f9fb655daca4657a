"""A Kubernetes API server with its controllers, and what tests ask of it."""

import json
import os
import random
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests import CHECKOUT, K8S, KUBECTL

NAMESPACE = "streamflow"
CONTROL_PLANE = Path(os.environ.get("CONTROL_PLANE", CHECKOUT.parent / "shared" / "cluster"))
"""A folder with the programs `start DIR OFFSET` and `stop DIR`, which writes DIR/admin.kubeconfig."""

_PORTS = (12379, 12380, 16443, 20247, 20257, 20259)
"""The ports of that control plane, at offset 0."""

_OFFSETS = range(0, 12_000, 7)
"""Below the ports that the system gives to clients."""

_ALWAYS_CONFIGURED = "poddisruptionbudget.policy/"
"""The selector of a budget is declared as replaced as a whole. kubectl sends it at each client-side apply, and says
"configured" though nothing changes."""

_VOLUMES = {"2Gi": 60, "20Gi": 80}
_WARNING = "Warning:"
_NODE_STORAGE = "100Gi"
_TIMEOUT_S = 240
_INTERVAL_S = 0.3


@dataclass(frozen=True)
class Cluster:
    """A cluster with a namespace of ours."""

    kubeconfig: str
    namespace: str = NAMESPACE
    user: str = ""
    """Who calls, if it is not the user of the kubeconfig."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which kubectl is found, and finds the cluster."""
        path = os.pathsep.join((str(KUBECTL.parent), os.environ["PATH"]))
        return os.environ | {"KUBECONFIG": self.kubeconfig, "PATH": path}

    def kubectl(self, *words: str, stdin: str = "", timeout_s: float = _TIMEOUT_S) -> str:
        """Return what kubectl prints; raise AssertionError with its errors if it fails, warns or takes longer."""
        who = (f"--as={self.user}",) if self.user else ()
        result = self._run([str(KUBECTL), *who, *words], stdin=stdin, timeout_s=timeout_s)
        assert result.returncode == 0, _said(result)
        assert _WARNING not in result.stderr, _said(result)
        return result.stdout

    def ours(self, *words: str, timeout_s: float = _TIMEOUT_S) -> str:
        """Run kubectl in our namespace."""
        return self.kubectl("-n", self.namespace, *words, timeout_s=timeout_s)

    def shell(self, command: str, folder: Path) -> str:
        """Run a command of the README in a folder; return what it prints.

        Raises AssertionError if the command fails or warns. `kubectl diff` exits with 1 where there is a difference.
        """
        result = self._run(["bash", "-o", "pipefail", "-c", command], folder=folder)
        assert result.returncode in ({0, 1} if " diff " in command else {0}), _said(result)
        # kubectl warns at each undo that the next apply brings back what the overlay says, as the README says too.
        assert _WARNING not in result.stderr or " rollout undo " in command, _said(result)
        return result.stdout

    def _run(
        self, command: list[str], *, folder: Path = CHECKOUT, stdin: str = "", timeout_s: float = _TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            input=stdin,
            timeout=timeout_s,
            env=self.environment,
        )

    def items(self, *words: str) -> list[dict[str, Any]]:
        """Return the objects of our namespace that `kubectl get` finds by these words."""
        found = json.loads(self.ours("get", *words, "-o", "json"))
        items: list[dict[str, Any]] = found["items"] if found["kind"] == "List" else [found]
        return items

    def wanted(self, folder: str | Path, *words: str) -> dict[str, Any]:
        """Return an overlay's objects by kind and name, but not who manages them and what controllers write.

        These are the objects that the cluster has, or those that another kubectl command prints.
        """
        found = {}
        for document in json.loads(self.kubectl(*(words or ("get",)), "-k", str(folder), "-o", "json"))["items"]:
            metadata = document["metadata"]
            document["metadata"] = {key: metadata.get(key) for key in ("uid", "labels")}
            document.pop("status", None)
            # Autoscalers write the count.
            document.get("spec", {}).pop("replicas", None)
            found[f"{document['kind']}/{metadata['name']}"] = document
        return found

    def wait(self, what: Callable[[], bool], description: str, timeout_s: float = _TIMEOUT_S) -> None:
        """Wait until something holds; fail after the timeout."""
        end = time.monotonic() + timeout_s
        while not what():
            if time.monotonic() > end:
                there = self.kubectl("get", "pods,jobs,nodes", "-A")
                raise AssertionError(f"not within {timeout_s:g} s: {description}\n{there}")
            time.sleep(_INTERVAL_S)

    def serve(self, *deployments: str) -> None:
        """Wait until all wanted pods of the Deployments are the newest and ready."""
        for name in deployments:
            self.ours("rollout", "status", f"deployment/{name}", f"--timeout={_TIMEOUT_S - 10}s")

    def answers(self) -> bool:
        try:
            self.kubectl("get", "--raw", "/readyz", "--request-timeout=5s")
        except AssertionError:
            return False
        return True

    def has_namespace(self) -> bool:
        return bool(self.kubectl("get", "namespace", self.namespace, "--ignore-not-found", "-o", "name"))

    def clear(self) -> None:
        """Delete our namespace and wait until it is gone."""
        # A namespace in which pods or claims are still ending is looked at again only after a while.
        self.ours("delete", "deployments,replicasets,statefulsets,cronjobs,jobs", "--all")
        # kubectl warns of what is meant: not to wait for the drain of pods.
        self.shell(f"kubectl -n {self.namespace} delete pods --all --grace-period=0 --force 2>/dev/null", K8S)
        self.ours("delete", "persistentvolumeclaims", "--all", f"--timeout={_TIMEOUT_S - 10}s")
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", f"--timeout={_TIMEOUT_S - 10}s")

    @contextmanager
    def drained(self, node: str) -> Iterator[None]:
        """Drain our pods off a node; let pods come back at the end."""
        try:
            self.kubectl(
                *("drain", node, f"--timeout={_TIMEOUT_S - 10}s", "--ignore-daemonsets", "--delete-emptydir-data"),
                "--pod-selector=app.kubernetes.io/part-of=streamflow-features",
            )
            yield
        finally:
            self.kubectl("uncordon", node)


def _said(result: subprocess.CompletedProcess[str]) -> str:
    return f"{shlex.join(result.args)}: {result.stdout}{result.stderr}"


def changed(said: str) -> list[str]:
    """Return the lines in which `kubectl apply` names a change."""
    return [
        line
        for line in said.splitlines()
        if not line.endswith(" unchanged") and not line.startswith(_ALWAYS_CONFIGURED)
    ]


@contextmanager
def started(folder: Path) -> Iterator[Cluster]:
    """Start the control plane of CONTROL_PLANE in a folder; stop it and delete the folder at the end."""
    offset = _free_offset()
    try:
        with (folder / "start.log").open("w", encoding="utf-8") as log:
            # What it starts would keep a pipe open.
            subprocess.run(
                [CONTROL_PLANE / "start", folder, str(offset)],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=_TIMEOUT_S,
                env=os.environ | {"KUBECTL": str(KUBECTL)},
            )
        cluster = Cluster(str(folder / "admin.kubeconfig"))
        taints = ("get", "nodes", "-o", "jsonpath={.items[*].spec.taints}")
        cluster.wait(lambda: not cluster.kubectl(*taints), "nodes that take pods")
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(_volumes()))
        # Simulated nodes have none, and would take no pod that asks for some.
        storage = {name: {"ephemeral-storage": _NODE_STORAGE} for name in ("capacity", "allocatable")}
        for node in cluster.kubectl("get", "nodes", "-o", "name").split():
            cluster.kubectl("patch", node, "--subresource=status", "--patch", json.dumps({"status": storage}))
        yield cluster
    finally:
        subprocess.run([CONTROL_PLANE / "stop", folder], check=False, timeout=_TIMEOUT_S)
        shutil.rmtree(folder, ignore_errors=True)


def _volumes() -> dict[str, Any]:
    """Return the volumes that the claims of all tests need. Nobody makes any, and a volume is used once."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"of-the-tests-{size.lower()}-{number}"},
                "spec": {
                    "capacity": {"storage": size},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "standard",
                    "hostPath": {"path": "/nowhere"},
                },
            }
            for size, count in _VOLUMES.items()
            for number in range(count)
        ],
    }


def _free_offset() -> int:
    for offset in random.sample(_OFFSETS, 50):
        if all(_is_free(port + offset) for port in _PORTS):
            return offset
    raise AssertionError("no free ports for a control plane")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
