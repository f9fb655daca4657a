"""Feast's own servers, and the stack's feature server."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from streamflow_local import ports, stack
from streamflow_local.process import ProcessSpec
from streamflow_offline.feast_store import FEATURE_REPO, open_store
from streamflow_repo.settings.connections import JOB_REDIS_TIMEOUT_S

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.bed.data import FEATURE_SERVICE
from streamflow_loadtests.bench.server import Kind, Role, Server

FEAST_GO_SERVER = "FEAST_GO_SERVER"
"""The environment variable with the path of Feast's Go server."""

_FEAST = str(Path(sys.executable).parent / "feast")
_LISTEN_WORKERS = 10


def stock(bed: Bed) -> Server:
    """Start `feast serve` without any option."""
    port = ports.free_port()
    command = (_FEAST, "serve", "-h", "127.0.0.1", "-p", str(port))
    return _started(
        bed,
        ProcessSpec(name="stock", command=command, directory=FEATURE_REPO, port=port),
        what=f"`feast serve` with its defaults, `feature_service: {FEATURE_SERVICE}`",
        selection={"feature_service": FEATURE_SERVICE},
    )


def tuned(bed: Bed) -> Server:
    """Start `feast serve` with the options that the stack gives its feature servers."""
    ours = stack.feature_server(ports.free_port(), name="tuned")
    serve = ours.command.index("serve")
    return _started(
        bed,
        # The flags are the stack's, the program and its online store Feast's own.
        replace(ours, command=(_FEAST, *ours.command[serve:])),
        what="`feast serve` with the stack's flags: `PYTHONOPTIMIZE=1 … --max-requests 0`, `features: […]`",
        selection={"features": list(bed.dataset.references)},
    )


def feature_server(bed: Bed, name: str = "feature-server") -> Server:
    """Start a feature server as the stack runs it."""
    return Server(
        what="the stack's feature server alone, `features: […]`",
        kind=Kind.SERVE,
        port=bed.start_feature_server(name),
        roles={name: Role.FEATURE_SERVER},
        answers=bed.dataset.answers,
        selection={"features": list(bed.dataset.references)},
    )


def listen(bed: Bed) -> Server:
    """Start Feast's gRPC server in Python."""
    port = ports.free_port()
    command = (_FEAST, "listen", "-a", f"127.0.0.1:{port}", "-w", str(_LISTEN_WORKERS))
    return _started(
        bed,
        ProcessSpec(name="listen", command=command, directory=FEATURE_REPO, port=port),
        what=f"`feast listen -w {_LISTEN_WORKERS}`, `GetOnlineFeatures(feature_service: {FEATURE_SERVICE})`",
        kind=Kind.LISTEN,
    )


def go(bed: Bed) -> Server:
    """Start Feast's Go server, on a copy of the registry as a file."""
    folder = bed.work / "feast-go"
    folder.mkdir()
    with open_store(postgres_url=bed.postgres_url, redis_url=bed.redis_url) as store:
        (folder / "registry.db").write_bytes(store.registry.proto().SerializeToString())
        settings = {
            "project": store.project,
            "provider": "local",
            "registry": "registry.db",
            "online_store": {"type": "redis", "connection_string": urlsplit(bed.redis_url).netloc},
            "entity_key_serialization_version": store.config.entity_key_serialization_version,
        }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    port, metrics_port = ports.free_ports(2)
    command = (
        *(str(Path(os.environ[FEAST_GO_SERVER]).resolve()), "-type", "grpc", "-host", "127.0.0.1"),
        *("-port", str(port), "-metrics-port", str(metrics_port), "-chdir", str(folder)),
    )
    return _started(
        bed,
        ProcessSpec(name="feast-go", command=command, directory=folder, port=port),
        what=f"Feast's Go server, `GetOnlineFeatures(feature_service: {FEATURE_SERVICE})`",
        kind=Kind.SERVING_SERVICE,
    )


def _started(
    bed: Bed,
    spec: ProcessSpec,
    *,
    what: str,
    kind: Kind = Kind.SERVE,
    selection: Mapping[str, object] | None = None,
) -> Server:
    # Asked by hundreds of callers at once, Feast fails calls at the stack's own limit for Redis.
    bed.servers.start(spec, environment=bed.environment(redis_timeout_s=JOB_REDIS_TIMEOUT_S))
    return Server(
        what=what,
        kind=kind,
        port=bed.servers.port(spec.name),
        roles={spec.name: Role.FEATURE_SERVER},
        answers=bed.dataset.answers,
        selection=selection,
    )
