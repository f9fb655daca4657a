"""What an arm of the comparison is: a server, and a client that asks it."""

from dataclasses import dataclass

from streamflow_loadtests.bench.clients import Client
from streamflow_loadtests.bench.load import Loader
from streamflow_loadtests.bench.server import Server


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A server asked by a client."""

    name: str
    """SERVER, or SERVER:CLIENT for another client than its kind of server has first."""

    what: str
    """The server and the client, for a reader of the report."""

    server: Server
    client: Client
    loader: Loader
