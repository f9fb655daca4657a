"""What is asked for many users, and what comes of it: the rule, without I/O."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

import grpc
from streamflow.features.v1.request_data_pb2 import RequestData
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest

from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._batch_reply import BatchReply
from streamflow_features._errors import (
    FailedPrecondition,
    FeatureServingError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unimplemented,
    error_of,
    users_limit,
)
from streamflow_features._features import ServingInfo, UserFeatures
from streamflow_features._learned import Learned
from streamflow_features._queries import QueryOptions, batch_request, with_pinned
from streamflow_features._request_data import RequestDataValue, request_values
from streamflow_features._results import batch_of

Progress = Callable[[int, int], object]
"""Takes the number of users that have a result, and the number of all users."""

_MAX_CONCURRENCY = 4

# One reload or restart can pass while the users of the other contract are asked again.
_MAX_ROUNDS = 3

_OF_ALL = (InvalidArgument, NotFound, FailedPrecondition, Unauthenticated, PermissionDenied, Unimplemented)
"""What fails one request would fail each."""


class ManyOptions(QueryOptions, total=False):
    """The optional keywords of a call for many users."""

    request_data_by_user: Iterable[Mapping[str, RequestDataValue]]
    """The request data of each user, in the order of the ids: as many as there are ids, or none."""

    max_concurrency: int
    """How many requests are made at a time. The default is 4."""

    progress: Progress | None
    """Called after each request with the number of users that have a result, and the number of all users."""

    retries: int
    """How often users whose error has `retry_after_s` are asked for again, after that time. The default is 0."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Users that are asked for together, by their positions."""

    positions: Sequence[int]
    retries: int
    """How often the chunk may be asked again."""

    counted: bool = False
    """Whether the users have been told as done."""


@dataclass(frozen=True, slots=True)
class _Answered:
    chunk: Chunk
    batch: UserFeaturesBatch


class ManyUsers:
    """The users of one call: which are to be asked for, and what each got."""

    def __init__(
        self,
        user_ids: Iterable[str],
        learned: Learned,
        pinned: QueryOptions,
        *,
        request_data_by_user: Iterable[Mapping[str, RequestDataValue]] = (),
        max_concurrency: int = _MAX_CONCURRENCY,
        retries: int = 0,
        progress: Progress | None = None,
        **options: Unpack[QueryOptions],
    ) -> None:
        """Creates the work. Raises TypeError or ValueError for what can't be asked."""
        if max_concurrency < 1 or retries < 0:
            raise ValueError("give max_concurrency of at least 1, and retries of at least 0")
        if isinstance(user_ids, str):
            raise TypeError("user_ids is one text; give a list of texts")
        self.selection = batch_request((), **with_pinned(pinned, options))
        """A request for no users."""
        self._user_ids = tuple(user_ids)
        self._request_data = [RequestData(values=request_values(data)) for data in request_data_by_user]
        if self._request_data and len(self._request_data) != len(self._user_ids):
            raise ValueError(
                f"there are {len(self._request_data)} request_data_by_user and {len(self._user_ids)} user_ids"
            )
        self._learned = learned
        self._max_concurrency = max_concurrency
        self._progress = progress
        self._to_ask = deque([Chunk(range(len(self._user_ids)), retries)] if self._user_ids else [])
        self._waiting: list[tuple[float, int, Chunk]] = []
        self._under_way = 0
        self._done = 0
        self._rounds = 0
        self._answered: list[_Answered] = []
        self._results: list[UserFeatures | FeatureServingError | None] = [None] * len(self._user_ids)

    @property
    def is_done(self) -> bool:
        """Whether every user has a result."""
        return not (self._to_ask or self._waiting or self._under_way)

    def next_chunk(self, now: float) -> Chunk | None:
        """Return what is to be asked at the time `now`. None: nothing until an answer, or until `pause_s` is over."""
        while self._waiting and self._waiting[0][0] <= now:
            self._to_ask.appendleft(heapq.heappop(self._waiting)[2])
        # What waits keeps its place, so that a gateway that is busy is asked less.
        if not self._to_ask or self._under_way + len(self._waiting) >= self._max_concurrency:
            return None
        chunk = self._to_ask.popleft()
        limit = self._learned.max_batch_users
        if len(chunk.positions) > limit:
            self._to_ask.appendleft(Chunk(chunk.positions[limit:], chunk.retries, chunk.counted))
            chunk = Chunk(chunk.positions[:limit], chunk.retries, chunk.counted)
        self._under_way += 1
        return chunk

    def pause_s(self, now: float) -> float | None:
        """Return after how many seconds there is more to ask without an answer. None: never."""
        return max(0.0, self._waiting[0][0] - now) if self._waiting else None

    def request(self, chunk: Chunk) -> BatchGetUserFeaturesRequest:
        """Return the request for a chunk."""
        request = BatchGetUserFeaturesRequest()
        request.CopyFrom(self.selection)
        request.user_ids.extend([self._user_ids[position] for position in chunk.positions])
        if self._request_data:
            request.request_data_by_user.extend([self._request_data[position] for position in chunk.positions])
        return request

    def ended(self, chunk: Chunk, outcome: BatchReply | FeatureServingError, now: float) -> None:
        """Take what came of a chunk. Raises what would fail every chunk, and what `progress` raises."""
        self._under_way -= 1
        user_ids = [self._user_ids[position] for position in chunk.positions]
        read = outcome if isinstance(outcome, FeatureServingError) else _read(outcome, user_ids)
        if isinstance(read, FeatureServingError):
            if self._is_cut(chunk, read):
                return
            if isinstance(read, _OF_ALL):
                raise read
            read = UserFeaturesBatch(user_ids, [read] * len(user_ids))
        again, waits_s = [], []
        for position, result in zip(chunk.positions, read, strict=True):
            wait_s = result.retry_after_s if chunk.retries and isinstance(result, FeatureServingError) else None
            if wait_s is None:
                self._results[position] = result
            else:
                again.append(position)
                waits_s.append(wait_s)
        if again:
            entry = (now + max(waits_s), again[0], Chunk(again, chunk.retries - 1, chunk.counted))
            heapq.heappush(self._waiting, entry)
        self._answered.append(_Answered(chunk, read))
        if not chunk.counted:
            self._done += len(chunk.positions) - len(again)
            if self._progress is not None:
                self._progress(self._done, len(self._user_ids))
        if self.is_done:
            self._ask_other_contracts_again()

    def batch(self) -> UserFeaturesBatch:
        """Return the results, in the order of the ids."""
        dtypes: dict[str, str | None] = {}
        for answered in self._answered:
            dtypes |= {name: dtype or dtypes.get(name) for name, dtype in answered.batch.dtypes.items()}
        infos = [answered.batch.serving_info for answered in self._answered]
        return UserFeaturesBatch(
            self._user_ids,
            [result for result in self._results if result is not None],
            contract_hash=next((a.batch.contract_hash for a in self._answered if a.batch.contract_hash), ""),
            serving_info=_maxima([info for info in infos if info is not None]),
            dtypes=dtypes,
        )

    def _is_cut(self, chunk: Chunk, error: FeatureServingError) -> bool:
        """Return whether the chunk has too many users for the gateway. Then it is asked for in parts."""
        limit = users_limit(error)
        if limit is None or not 0 < limit < len(chunk.positions):
            return False
        self._learned.max_batch_users = min(self._learned.max_batch_users, limit)
        self._to_ask.appendleft(chunk)
        return True

    def _ask_other_contracts_again(self) -> None:
        """Have the users that other contracts answered than the newest asked for again. Raises FailedPrecondition."""
        of_replies = [answered for answered in self._answered if answered.batch.contract_hash]
        if len({answered.batch.contract_hash for answered in of_replies}) < 2:  # noqa: PLR2004  # one contract
            return
        newest = of_replies[-1].batch.contract_hash
        others = [answered for answered in of_replies if answered.batch.contract_hash != newest]
        if self._rounds == _MAX_ROUNDS:
            message = (
                f"The gateways answer by different contracts, {newest} and {others[-1].batch.contract_hash}, also when "
                "asked again. Ask when all gateways have one contract, or for one of them with contract_hash."
            )
            raise error_of(grpc.StatusCode.FAILED_PRECONDITION, message)
        self._rounds += 1
        self._answered = [answered for answered in self._answered if answered.batch.contract_hash in {"", newest}]
        self._to_ask.extend(Chunk(other.chunk.positions, other.chunk.retries, counted=True) for other in others)


def _read(reply: BatchReply, user_ids: Sequence[str]) -> UserFeaturesBatch | FeatureServingError:
    try:
        return batch_of(reply, user_ids)
    except FeatureServingError as error:
        # A result keeps no frames.
        return error.with_traceback(None)


def _maxima(infos: Sequence[ServingInfo]) -> ServingInfo | None:
    if not infos:
        return None
    return ServingInfo(
        gateway_time_s=max(info.gateway_time_s for info in infos),
        queue_time_s=max(info.queue_time_s for info in infos),
        upstream_time_s=max(info.upstream_time_s for info in infos),
        batch_size=max(info.batch_size for info in infos),
        retried=any(info.retried for info in infos),
        hedged=any(info.hedged for info in infos),
    )
