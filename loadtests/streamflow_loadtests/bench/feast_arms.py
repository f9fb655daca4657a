"""Feast's own servers, as arms."""

import sys
from dataclasses import replace
from pathlib import Path

from streamflow_local import ports, stack
from streamflow_local.process import ProcessSpec
from streamflow_offline.feast_store import FEATURE_REPO

from streamflow_loadtests.bed.data import FEATURE_SERVICE, Dataset
from streamflow_loadtests.bench.arm import Arm, Role
from streamflow_loadtests.callers.http import HttpCaller
from streamflow_loadtests.callers.replies import FeastGrpcCaller

_FEAST = str(Path(sys.executable).parent / "feast")
_LISTEN_WORKERS = 10


def stock(dataset: Dataset, _work: Path) -> Arm:
    """Return `feast serve` as it is without any option."""
    port = ports.free_port()
    command = (_FEAST, "serve", "-h", "127.0.0.1", "-p", str(port))
    return Arm(
        name="stock",
        what=f"`feast serve` with its defaults, HTTP, `feature_service: {FEATURE_SERVICE}`",
        processes=(ProcessSpec(name="stock", command=command, directory=FEATURE_REPO, port=port),),
        roles={"stock": Role.FEATURE_SERVER},
        caller=lambda _: HttpCaller(port, {"feature_service": FEATURE_SERVICE}),
        answers=dataset.answers,
    )


def tuned(dataset: Dataset, _work: Path) -> Arm:
    """Return `feast serve` with the options that the stack gives its feature servers."""
    port = ports.free_port()
    ours = stack.feature_server(port)
    serve = ours.command.index("serve")
    return Arm(
        name="tuned",
        what="`feast serve` with the stack's flags: `PYTHONOPTIMIZE=1 … --max-requests 0`, HTTP, `features: […]`",
        # The flags are the stack's, the program and its online store Feast's own.
        processes=(replace(ours, name="tuned", command=(_FEAST, *ours.command[serve:])),),
        roles={"tuned": Role.FEATURE_SERVER},
        caller=lambda _: HttpCaller(port, {"features": list(dataset.references)}),
        answers=dataset.answers,
    )


def listen(dataset: Dataset, _work: Path) -> Arm:
    """Return Feast's gRPC server."""
    port = ports.free_port()
    command = (_FEAST, "listen", "-a", f"127.0.0.1:{port}", "-w", str(_LISTEN_WORKERS))
    return Arm(
        name="listen",
        what=f"`feast listen -w {_LISTEN_WORKERS}`, gRPC, `GetOnlineFeatures(feature_service: {FEATURE_SERVICE})`",
        processes=(ProcessSpec(name="listen", command=command, directory=FEATURE_REPO, port=port),),
        roles={"listen": Role.FEATURE_SERVER},
        caller=lambda channel: FeastGrpcCaller(channel(port)),
        answers=dataset.answers,
    )
