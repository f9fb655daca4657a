"""What an arm of the comparison is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from streamflow_local.process import ProcessSpec
from streamflow_repo.settings.connections import JOB_REDIS_TIMEOUT_S

from streamflow_loadtests.bed.data import Values
from streamflow_loadtests.callers.channels import Channel
from streamflow_loadtests.callers.replies import Caller


class Role(StrEnum):
    """What a server process is, for CPU time to be summed up by."""

    FEATURE_SERVER = "feature server"
    GATEWAY = "gateway"
    STORE = "Valkey"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to users' features."""

    name: str

    what: str
    """The server and what it is asked, for a reader of the report."""

    processes: tuple[ProcessSpec, ...]
    """In the order in which they start."""

    roles: Mapping[str, Role]
    """What each of the processes is, by name."""

    caller: Callable[[Callable[[int], Channel]], Caller]
    """Opens the connections, those of gRPC by a channel to a port; called within the event loop."""

    answers: Mapping[str, Values]
    """The users that it may be asked for, and what a right reply holds."""

    # Asked by hundreds of callers at once, Feast fails calls at the stack's own limit.
    redis_timeout_s: float = JOB_REDIS_TIMEOUT_S
    """How long its feature server waits for Redis."""
