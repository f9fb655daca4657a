"""Which failures a repeated task may get over."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import redis.exceptions
from streamflow_features import DeadlineExceeded, FailedPrecondition, ResourceExhausted, Unavailable

from streamflow_offline.materialize.report import FreshnessError

if TYPE_CHECKING:
    from prefect import State, Task
    from prefect.client.schemas.objects import TaskRun

_MAY_PASS: tuple[type[Exception], ...] = (
    psycopg.OperationalError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ClusterDownError,
    Unavailable,
    DeadlineExceeded,
    ResourceExhausted,
    # The gateway took up another contract between two calls.
    FailedPrecondition,
    # Redis lost what was written, as one that restarts does.
    FreshnessError,
)
# To redis-py these are failures to connect.
_STAYS: tuple[type[Exception], ...] = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)


def store_was_away(_task: "Task[..., Any]", _run: "TaskRun", state: "State[Any]") -> bool:
    """Return whether a task failed because a store or the gateway was not there, so that it is worth repeating.

    A job that refused its input would refuse it again.
    """
    try:
        state.result()
    except Exception as error:  # noqa: BLE001  # whatever the task raised
        causes = list(_causes(error))
        return any(isinstance(cause, _MAY_PASS) for cause in causes) and not any(
            isinstance(cause, _STAYS) for cause in causes
        )
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from: a JobError says what to do, and its cause what happened."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
