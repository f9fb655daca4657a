"""CPU metrics that a test chooses, for the autoscalers of a control plane with simulated pods."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from cluster import CONTROL_PLANE, Cluster
from manifests import KUBECTL
from streamflow_local.ports import free_port

_PROGRAM = CONTROL_PLANE / "conf" / "metrics.py"
_API = "v1beta1.metrics.k8s.io"


class Load:
    """How much CPU the pods of each name use together."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def set(self, **millicores: int) -> None:
        """Set the millicores of all pods of a name; they share them evenly."""
        written = self._path.with_suffix(".new")
        written.write_text(json.dumps({name.replace("_", "-"): used for name, used in millicores.items()}))
        written.replace(self._path)


@contextmanager
def pretended_metrics(cluster: Cluster, folder: Path) -> Iterator[Load]:
    """Serve metrics.k8s.io in a block; skip the test on a cluster that has its own."""
    pki = Path(cluster.kubeconfig).parent / "pki"
    if not _PROGRAM.exists() or not pki.exists():
        pytest.skip("CPU can be pretended only in the control plane of CONTROL_PLANE")
    load = Load(folder / "load.json")
    load.set()
    port = free_port()
    with (
        (folder / "metrics.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, _PROGRAM, str(port), pki, folder / "load.json", KUBECTL],
            # Without a home kubectl keeps its cache in the working directory.
            env={"KUBECONFIG": cluster.kubeconfig, "HOME": str(folder)},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        documents = yaml.safe_dump_all(_registration(port))
        try:
            cluster.kubectl("apply", "-f", "-", stdin=documents)
            available = ("wait", "--for=condition=Available", "--timeout=120s", f"apiservice/{_API}")
            cluster.kubectl(*available)
            yield load
        finally:
            cluster.kubectl("delete", "-f", "-", stdin=documents)
            process.kill()


def _registration(port: int) -> list[dict[str, object]]:
    name = {"name": "pretended-metrics", "namespace": "kube-system"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": name,
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": _API},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "service": {**name, "port": port},
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]
