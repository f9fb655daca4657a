"""The servers by name: each is started once, whoever asks it or stands in front of it."""

import os
import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from streamflow_local import stack
from streamflow_local.config import StackConfig

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.bench import feast_servers, gateway_servers
from streamflow_loadtests.bench.feast_servers import FEAST_GO_SERVER
from streamflow_loadtests.bench.server import Server

GATEWAY = "gateway"
"""The gateway with the stack's engine, in front of one feature server of the stack: the others are compared with it."""

FEAST_GO = "feast-go"

_ENGINE = "GATEWAY_GRPC_ENGINE"
_NATIVE_PACKAGE = "pygrpc-native"
_FEATURE_SERVER = "server"
_ALONE: Mapping[str, Callable[[Bed], Server]] = {
    "stock": feast_servers.stock,
    "tuned": feast_servers.tuned,
    "listen": feast_servers.listen,
    _FEATURE_SERVER: feast_servers.feature_server,
    FEAST_GO: feast_servers.go,
    "echo": gateway_servers.echo,
}
_GATEWAYS = re.compile(
    rf"{GATEWAY}(-(?P<before>stock|tuned))?(-(?P<engine>grpcio|native))?(-(?P<size>[1-9]\d*)(x(?P<reads>[1-9]\d*))?)?"
)

NAMES = (*_ALONE, "stack", "far", "gateway[-stock|-tuned][-grpcio|-native][-N[xM]]")
"""For a reader who has to choose."""


def default_engine() -> str:
    """Return the engine that the stack's gateway has."""
    return stack.gateway(StackConfig.of_environment({})).environment.get(_ENGINE, "grpcio")


def exists(name: str) -> bool:
    """Return whether there is a server of that name."""
    return name in {*_ALONE, "stack", "far"} or _GATEWAYS.fullmatch(name) is not None


def shortest(arm: str) -> str:
    """Return an arm's name without the engine where the engine is the stack's own: both mean one server."""
    name, colon, client = arm.partition(":")
    parts = _GATEWAYS.fullmatch(name)
    if parts and parts["engine"] == default_engine():
        name = name.replace(f"-{default_engine()}", "")
    return name + colon + client


def missing(name: str) -> str | None:
    """Return why a server can't be started here; None when it can."""
    if name == FEAST_GO and not os.environ.get(FEAST_GO_SERVER):
        return f"{FEAST_GO_SERVER} is not set to the path of Feast's Go server"
    parts = _GATEWAYS.fullmatch(name)
    if parts and (parts["engine"] or default_engine()) == "native":
        try:
            version(_NATIVE_PACKAGE)
        except PackageNotFoundError:
            return f"{_NATIVE_PACKAGE} is not installed"
    return None


class Started:
    """The servers of a run."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._servers: dict[str, Server] = {}

    def get(self, name: str) -> Server:
        """Return a server, which is started if it does not run."""
        if name not in self._servers:
            self._servers[name] = self._start(name)
        return self._servers[name]

    def _start(self, name: str) -> Server:
        bed = self._bed
        if name in _ALONE:
            return _ALONE[name](bed)
        if name == "far":
            return gateway_servers.far(bed, before=self.get(_FEATURE_SERVER))
        if name == "stack":
            return self._stack()
        parts = _GATEWAYS.fullmatch(name)
        if parts is None:
            raise ValueError(f"{name}: no such server")
        settings = {_ENGINE: parts["engine"]} if parts["engine"] else {}
        if parts["size"]:
            settings |= {
                "GATEWAY_MAX_BATCH_SIZE": parts["size"],
                "GATEWAY_READS_PER_FEATURE_SERVER": parts["reads"] or "1",
            }
        before = parts["before"] or _FEATURE_SERVER
        what = f"`{before}`" if parts["before"] else "one feature server as the stack runs it"
        what = f"{what}, engine {parts['engine'] or default_engine()}"
        return gateway_servers.gateway(name, bed, before=[self.get(before)], settings=settings, what=what)

    def _stack(self) -> Server:
        first = self.get(_FEATURE_SERVER)
        count = StackConfig.of_environment({}).feature_server_replicas
        names = [f"feature-server-{number}" for number in range(2, count + 1)]
        others = [feast_servers.feature_server(self._bed, name) for name in names]
        return gateway_servers.gateway(
            "stack", self._bed, before=[first, *others], settings={}, what=f"{count} feature servers, as in `make up`"
        )
