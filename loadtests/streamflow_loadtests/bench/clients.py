"""The clients by name, each as a load of a server."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from streamflow_repo import JOIN_KEY

from streamflow_loadtests.bed.data import FEATURE_SERVICE
from streamflow_loadtests.bench import h2load
from streamflow_loadtests.bench.go_caller import GO_CALLER, GoCaller
from streamflow_loadtests.bench.h2load import H2load
from streamflow_loadtests.bench.in_process import Tasks, Threads
from streamflow_loadtests.bench.load import Loader
from streamflow_loadtests.bench.server import Kind, Server
from streamflow_loadtests.bench.workloads import Workload
from streamflow_loadtests.callers.calls import Caller, Request
from streamflow_loadtests.callers.feast_api import FeastHttp, feast_request
from streamflow_loadtests.callers.gateway_api import GatewayGrpc
from streamflow_loadtests.callers.grpc_stubs import FeastStub, GatewayStub
from streamflow_loadtests.callers.http_client import HttpClient
from streamflow_loadtests.callers.own_client import OwnClient, OwnThreadedClient

GRPC_AIO = "grpc.aio"
GO = "go"
H2LOAD = "h2load"

_GO_MODES = {Kind.GATEWAY: "gw", Kind.ECHO: "gw", Kind.SERVE: "feasthttp", Kind.SERVING_SERVICE: "feastgrpc"}
_FEAST_PATHS = {
    Kind.LISTEN: "/GrpcFeatureServer/GetOnlineFeatures",
    Kind.SERVING_SERVICE: "/feast.serving.ServingService/GetOnlineFeatures",
}


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client that people use."""

    what: str
    kinds: frozenset[Kind]
    """The servers that it can ask."""

    loader: Callable[[Server, Path], Loader]
    """Makes a load of a server; files go to a folder."""

    one_user: bool = False
    """Whether a call can ask for one user alone."""

    connections: frozenset[bool] = frozenset({False, True})
    """Whether callers can have a connection each; and whether they can share one."""

    def takes(self, workload: Workload) -> bool:
        """Return whether the client can be put to a workload."""
        return workload.apart in self.connections and (workload.users == 1 or not self.one_user)


def _own(server: Server, _: Path) -> Loader:
    return Tasks(partial(OwnClient, [server.port], feature_service=FEATURE_SERVICE), server.answers)


def _unmerged(server: Server, _: Path) -> Loader:
    connect = partial(OwnClient, [server.port], feature_service=FEATURE_SERVICE, merge_calls=False)
    return Tasks(connect, server.answers)


def _threads(server: Server, _: Path) -> Loader:
    return Threads(OwnThreadedClient([server.port], feature_service=FEATURE_SERVICE), server.answers)


def _usual(server: Server, _: Path) -> Loader:
    return Tasks(partial(connect, server), server.answers)


def _go(server: Server, work: Path) -> Loader:
    return GoCaller(_GO_MODES[server.kind], server.port, server.answers, work)


def _go_merged(server: Server, work: Path) -> Loader:
    return GoCaller("gwmerge", server.port, server.answers, work)


def _h2load(server: Server, work: Path) -> Loader:
    is_grpc = server.kind is not Kind.SERVE
    return H2load(server.port, partial(_request, server), list(server.answers), work, is_grpc=is_grpc)


def _request(server: Server, user_ids: Sequence[str]) -> Request:
    if server.kind in _BY_STUBS:
        return GatewayGrpc(feature_service=FEATURE_SERVICE).request(user_ids)
    if server.kind is Kind.SERVE:
        return FeastHttp(server.selection or {}, join_key=JOIN_KEY).request(user_ids)
    body = feast_request(user_ids, feature_service=FEATURE_SERVICE, join_key=JOIN_KEY).SerializeToString()
    return Request(user_ids=user_ids, path=_FEAST_PATHS[server.kind], body=body)


def _feast_stub(server: Server, _: Path) -> Loader:
    stub = partial(FeastStub, server.port, feature_service=FEATURE_SERVICE, join_key=JOIN_KEY, serving_service=True)
    return Tasks(stub, server.answers)


_GATEWAY = frozenset({Kind.GATEWAY})
_BY_STUBS = frozenset({Kind.GATEWAY, Kind.ECHO})
_SHARED = frozenset({False})

CLIENTS: Mapping[str, Client] = {
    "client": Client(what="the project's AsyncFeatureClient", kinds=_GATEWAY, loader=_own, connections=_SHARED),
    "unmerged": Client(
        what="the project's AsyncFeatureClient, which does not merge calls",
        kinds=_GATEWAY,
        loader=_unmerged,
        connections=_SHARED,
    ),
    "threads": Client(
        what="the project's FeatureClient, callers as threads", kinds=_GATEWAY, loader=_threads, connections=_SHARED
    ),
    GRPC_AIO: Client(what="grpc.aio with stubs", kinds=frozenset(Kind) - {Kind.SERVE}, loader=_usual),
    "feast-stub": Client(what="grpc.aio with Feast's stub, `GetOnlineFeatures`", kinds=_GATEWAY, loader=_feast_stub),
    "aiohttp": Client(what="aiohttp", kinds=frozenset({Kind.SERVE}), loader=_usual),
    GO: Client(what="a Go caller", kinds=frozenset(_GO_MODES), loader=_go, one_user=True),
    "go-merged": Client(
        what="a Go caller that merges its calls", kinds=_GATEWAY, loader=_go_merged, one_user=True, connections=_SHARED
    ),
    H2LOAD: Client(
        what="h2load, a process for each caller",
        kinds=frozenset(Kind),
        loader=_h2load,
        one_user=True,
        connections=frozenset({True}),
    ),
}
"""A kind of server is asked by the first of them that can."""


def connect(server: Server) -> Caller:
    """Return a connection of a server by grpc.aio with stubs, or by aiohttp. Use it within the event loop."""
    if server.kind in _BY_STUBS:
        return GatewayStub(server.port, feature_service=FEATURE_SERVICE)
    if server.kind is Kind.SERVE:
        return HttpClient(server.port, selection=server.selection or {}, join_key=JOIN_KEY)
    serving_service = server.kind is Kind.SERVING_SERVICE
    return FeastStub(server.port, feature_service=FEATURE_SERVICE, join_key=JOIN_KEY, serving_service=serving_service)


def first(kind: Kind) -> str:
    """Return the name of the client that asks a kind of server when none is named."""
    return next(name for name, client in CLIENTS.items() if kind in client.kinds)


def missing(name: str) -> str | None:
    """Return why a client can't be had here; None when it can."""
    if name.startswith(GO) and not os.environ.get(GO_CALLER):
        return f"{GO_CALLER} is not set to the path of a Go caller"
    if name == H2LOAD and shutil.which(h2load.COMMAND) is None:
        return "h2load is not installed; Debian has it in nghttp2-client"
    return None
