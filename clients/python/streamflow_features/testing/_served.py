"""What a test server answers from."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from streamflow.features.v1.feature_pb2 import UserFeatures
from streamflow.features.v1.user_feature_service_pb2 import ServingInfo

from streamflow_features._errors import FeatureServingError, Unavailable
from streamflow_features._reasons import ErrorReason
from streamflow_features.testing._answers import Asked, answers_of
from streamflow_features.testing._checks import check_user_id
from streamflow_features.testing._definitions import Definitions
from streamflow_features.testing._encoding import put
from streamflow_features.testing._faults import Orders, abort
from streamflow_features.testing._refused import refused
from streamflow_features.testing._users import Row, Users


@dataclass(slots=True, kw_only=True)
class Served:
    """Definitions, users, and what a test orders besides."""

    definitions: Definitions
    users: Users
    max_batch_users: int
    latency_s: float
    latencies_s: dict[str, float] = field(default_factory=dict)
    orders: Orders = field(default_factory=Orders)
    ended: threading.Event = field(default_factory=threading.Event)

    def obey(self, user_ids: Iterable[str], *, within_s: float | None) -> None:
        """Wait and fail as is ordered for a call about these users. Raises FeatureServingError.

        `within_s` is the call's time; None for a call without a deadline. A call that takes longer fails at its
        deadline, even if its client is late to notice.
        """
        late = refused(ErrorReason.DEADLINE_EXCEEDED, "The deadline passed before the features were there.")
        if within_s is not None and within_s <= 0:
            # Its caller has left. What is ordered is for the next call.
            raise late
        order = self.orders.of_next_call()
        slowest_s = max((self.latencies_s.get(user_id, 0.0) for user_id in user_ids), default=0.0)
        latency_s = max(order.latency_s, self.latency_s, slowest_s)
        if latency_s > 0 and self.ended.wait(latency_s if within_s is None else min(latency_s, within_s)):
            raise Unavailable("The server was stopped.")
        if within_s is not None and latency_s >= within_s:
            raise late
        if order.error is not None:
            raise order.error

    def user(self, user_id: str, asked: Asked, request_data: Mapping[str, Any]) -> tuple[UserFeatures, Row]:
        """Return one user's features, and the row that they are of. Raises FeatureServingError."""
        check_user_id(user_id, self.definitions.key)
        row = self.users.row(user_id)
        answers = answers_of(row, asked, request_data)
        message = UserFeatures(user_id=user_id, user_known=any(answer.feature.view in row.views for answer in answers))
        for answer in answers:
            feature = message.features.add(name=answer.name, status=int(answer.status))
            put(feature, answer.feature.dtype, answer.value)
            if answer.event_timestamp is not None:
                feature.event_timestamp.FromDatetime(answer.event_timestamp)
        return message, row


@contextmanager
def failing(context: Any) -> Iterator[None]:
    """End the call of a block with the status of the error that the block raises."""
    try:
        yield
    except FeatureServingError as error:
        abort(context, error)


def fill_serving_info(message: ServingInfo, *, started_ns: int, users: int) -> None:
    """Write how a call was served that began at this time of `time.perf_counter_ns`."""
    taken_ns = time.perf_counter_ns() - started_ns
    message.gateway_time.FromNanoseconds(taken_ns)
    message.upstream_time.FromNanoseconds(taken_ns)
    message.queue_time.SetInParent()
    message.batch_size = users
