"""What a server of the comparison is."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from streamflow_loadtests.callers.calls import Values


class Role(StrEnum):
    """What a server process is, for CPU time to be summed up by."""

    FEATURE_SERVER = "feature server"
    GATEWAY = "gateway"
    STORE = "Valkey"
    OTHER = "other"


class Kind(StrEnum):
    """What a server speaks."""

    GATEWAY = "the gateway's gRPC"
    ECHO = "the gateway's gRPC, GetUserFeatures alone"
    SERVE = "HTTP of feast serve"
    LISTEN = "gRPC of feast listen"
    SERVING_SERVICE = "gRPC's feast.serving.ServingService"


@dataclass(frozen=True, kw_only=True)
class Server:
    """Processes that have been started, the first of them asked on a port."""

    what: str
    """For a reader of the report."""

    kind: Kind
    port: int

    roles: Mapping[str, Role]
    """What each of the processes is, by name."""

    answers: Mapping[str, Values]
    """The users that the server may be asked for, and what a right reply holds."""

    selection: Mapping[str, object] | None = None
    """What HTTP asks for besides the users."""
