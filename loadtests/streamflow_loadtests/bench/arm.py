"""What an arm of the comparison is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from streamflow_loadtests.callers.calls import Caller, Transport, Values

Channel = Callable[[int], Transport]
"""What opens gRPC connections to a port."""


class Role(StrEnum):
    """What a server process is, for CPU time to be summed up by."""

    FEATURE_SERVER = "feature server"
    GATEWAY = "gateway"
    STORE = "Valkey"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to users' features, whose processes have been started."""

    name: str

    what: str
    """The server and what it is asked, for a reader of the report."""

    roles: Mapping[str, Role]
    """What each of the processes is, by name."""

    caller: Callable[[Channel], Caller]
    """Opens the connections, those of gRPC by a channel; called within the event loop."""

    answers: Mapping[str, Values]
    """The users that the arm may be asked for, and what a right reply holds."""
