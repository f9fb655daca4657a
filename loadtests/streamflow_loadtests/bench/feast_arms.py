"""Feast's own servers, as arms."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from streamflow_local import ports, stack
from streamflow_local.process import ProcessSpec
from streamflow_offline.feast_store import FEATURE_REPO
from streamflow_repo import JOIN_KEY
from streamflow_repo.settings.connections import JOB_REDIS_TIMEOUT_S

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.bed.data import FEATURE_SERVICE
from streamflow_loadtests.bench.arm import Arm, Channel, Role
from streamflow_loadtests.callers.calls import ApiCaller, Caller
from streamflow_loadtests.callers.feast_api import FeastGrpc, FeastHttp
from streamflow_loadtests.callers.http import HttpConnections

_FEAST = str(Path(sys.executable).parent / "feast")
_LISTEN_WORKERS = 10


def stock(bed: Bed) -> Arm:
    """Start `feast serve` without any option."""
    port = ports.free_port()
    command = (_FEAST, "serve", "-h", "127.0.0.1", "-p", str(port))
    return _serve(
        bed,
        ProcessSpec(name="stock", command=command, directory=FEATURE_REPO, port=port),
        what=f"`feast serve` with its defaults, HTTP, `feature_service: {FEATURE_SERVICE}`",
        selection={"feature_service": FEATURE_SERVICE},
    )


def tuned(bed: Bed) -> Arm:
    """Start `feast serve` with the options that the stack gives its feature servers."""
    ours = stack.feature_server(ports.free_port(), name="tuned")
    serve = ours.command.index("serve")
    return _serve(
        bed,
        # The flags are the stack's, the program and its online store Feast's own.
        replace(ours, command=(_FEAST, *ours.command[serve:])),
        what="`feast serve` with the stack's flags: `PYTHONOPTIMIZE=1 … --max-requests 0`, HTTP, `features: […]`",
        selection={"features": list(bed.dataset.references)},
    )


def listen(bed: Bed) -> Arm:
    """Start Feast's gRPC server."""
    port = ports.free_port()
    command = (_FEAST, "listen", "-a", f"127.0.0.1:{port}", "-w", str(_LISTEN_WORKERS))
    return _arm(
        bed,
        ProcessSpec(name="listen", command=command, directory=FEATURE_REPO, port=port),
        what=f"`feast listen -w {_LISTEN_WORKERS}`, gRPC, `GetOnlineFeatures(feature_service: {FEATURE_SERVICE})`",
        caller=lambda channel: ApiCaller(FeastGrpc(feature_service=FEATURE_SERVICE, join_key=JOIN_KEY), channel(port)),
    )


def _serve(bed: Bed, spec: ProcessSpec, *, what: str, selection: Mapping[str, object]) -> Arm:
    def caller(_: Channel) -> Caller:
        return ApiCaller(FeastHttp(selection, join_key=JOIN_KEY), HttpConnections(bed.servers.port(spec.name)))

    return _arm(bed, spec, what=what, caller=caller)


def _arm(bed: Bed, spec: ProcessSpec, *, what: str, caller: Callable[[Channel], Caller]) -> Arm:
    # Asked by hundreds of callers at once, Feast fails calls at the stack's own limit for Redis.
    bed.servers.start(spec, environment=bed.environment(redis_timeout_s=JOB_REDIS_TIMEOUT_S))
    return Arm(
        name=spec.name,
        what=what,
        roles={spec.name: Role.FEATURE_SERVER},
        caller=caller,
        answers=bed.dataset.answers,
    )
