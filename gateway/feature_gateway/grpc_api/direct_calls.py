"""Answers GetUserFeatures without a task for each call, for an engine that hands over requests in numbers."""

import time
from collections.abc import Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.message import DecodeError
from grpc import StatusCode
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest

from feature_gateway.access.caller import ANYONE
from feature_gateway.access.gate import Gate
from feature_gateway.errors import GatewayError, OneRowError
from feature_gateway.grpc_api.call_metadata import authorization_in
from feature_gateway.grpc_api.guard import failure_fields, failure_of, status_of
from feature_gateway.grpc_api.messages import query_of
from feature_gateway.grpc_api.user_reply import response_of
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.lookup.query import Query, Question
from feature_gateway.observer import Observer
from feature_gateway.reads import Answers, RowAsker
from feature_gateway.tracing.current import current_call

if TYPE_CHECKING:
    from feature_gateway.tracing.spans import CallSpan
    from feature_gateway.tracing.tracer import TracedMethod

METHOD = "GetUserFeatures"

# Field 1, the user's id, in front of all others. Its length is one byte if it is below 128.
_USER_ID_TAG, _ID_STARTS, _LONG = 0x0A, 2, 0x80
# Longer requests are rare, and not remembered.
_MAX_BYTES = 4096
_MAX_REMEMBERED = 1024

Details = tuple[Sequence[tuple[str, str | bytes]], str, float | None]
"""Of a call: its metadata, its peer, and the seconds until its deadline."""


class Replies(Protocol):
    """Where replies are written, each by the number of its call."""

    def respond(self, call_id: int, payload: bytes) -> object:
        """Answer a call."""
        ...

    def fail(self, call_id: int, code: int, message: str, trailing_metadata: Any) -> object:
        """End a call with an error."""
        ...


class DirectCall:
    """A call under way; it is the outcome of its own question."""

    __slots__ = ("_began", "_call_id", "_calls", "_done", "_leave", "_question", "_span", "_until")

    task = None
    """No task waits for it."""

    def __init__(
        self,
        calls: "DirectCalls",
        call_id: int,
        question: Question,
        remaining_s: float | None,
        span: "CallSpan | None",
    ) -> None:
        self._calls = calls
        self._call_id = call_id
        self._question = question
        self._began = time.perf_counter()
        self._until = None if remaining_s is None else self._began + remaining_s
        self._done = False
        self._span = span
        self._leave: Callable[[], None] | None = None

    def ask(self, remaining_s: float | None) -> None:
        """Put the question, and keep the call until it has ended."""
        self._calls.in_flight += 1
        try:
            question = self._question
            self._leave = self._calls.asker.ask(
                question.feature_set.read_set,
                question.key,
                caller_key=question.query.caller.key,
                timeout_s=self._calls.lookup.budget_s(remaining_s),
                outcome=self,
            )
        except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes a status
            self.set_exception(error)
        else:
            self._calls.under_way[self._call_id] = self

    def done(self) -> bool:
        """Return whether the call has ended."""
        return self._done

    def set_result(self, result: Answers) -> None:
        """Reply with the row that was read."""
        (served,) = result
        if isinstance(served, OneRowError):
            self.set_exception(served)
            return
        try:
            reply = response_of(self._calls.lookup.answer(self._question, served), serving_info=False)
        except Exception as error:  # noqa: BLE001  # the same
            self.set_exception(error)
            return
        self._end(StatusCode.OK)
        self._calls.replies.respond(self._call_id, reply)

    def set_exception(self, exception: BaseException) -> None:
        """End the call with the status of an error."""
        error = exception if isinstance(exception, Exception) else RuntimeError(repr(exception))
        failure = failure_of(error, METHOD)
        self._end(failure.code, failure)
        status = status_of(failure)
        self._calls.replies.fail(
            self._call_id, status.code.value[0], status.details, trailing_metadata=list(status.trailing_metadata)
        )

    def cancel(self) -> None:
        """End a call whose caller has left or whose deadline has passed; without effect on one that has ended."""
        if not self._done:
            late = self._until is not None and time.perf_counter() >= self._until
            self._end(StatusCode.DEADLINE_EXCEEDED if late else StatusCode.CANCELLED)

    def _end(self, code: StatusCode, failure: GatewayError | None = None) -> None:
        self._done = True
        self._calls.in_flight -= 1
        self._calls.under_way.pop(self._call_id, None)
        elapsed_s = time.perf_counter() - self._began
        self._calls.observer.call_ended(METHOD, code, elapsed_s, span=self._span, **failure_fields(failure))
        if self._leave is not None:
            self._leave()


class DirectCalls:
    """Begins calls; each ends by itself."""

    def __init__(
        self,
        lookup: Lookup,
        asker: RowAsker,
        observer: Observer,
        *,
        gate: Gate,
        replies: Replies,
        under_way: MutableMapping[int, Any],
        traced: "TracedMethod | None" = None,
    ) -> None:
        """Create it for calls that are in `under_way` while they last, by their numbers.

        `asker` is the lookup's.
        """
        self._traced = traced
        self.in_flight = 0
        """How many calls are being answered."""

        self._gate = gate
        self.asker = asker
        self.lookup = lookup
        self.observer = observer
        self.replies = replies
        self.under_way = under_way

    def begin(self, call_id: int, payload: bytes, details: Details) -> bool:
        """Begin a call; return False, with nothing done, for one that is not plain, wrong, or of an unknown caller."""
        metadata, _, remaining_s = details
        size = len(payload)
        if not _ID_STARTS < size <= _MAX_BYTES or payload[0] != _USER_ID_TAG or payload[1] >= _LONG:
            return False
        id_ends = _ID_STARTS + payload[1]
        if id_ends > size:
            return False
        query = _query_of(payload[id_ends:])
        if query is None:
            return False
        caller = self._gate.known(authorization_in(metadata))
        if caller is None:
            return False
        if caller is not ANYONE:
            query = query._replace(caller=caller)
        span = self._traced.begin(metadata) if self._traced is not None else None
        if span is None:
            return self._asked(call_id, payload[_ID_STARTS:id_ends], query, remaining_s)
        token = current_call.set(span)
        try:
            # Of a call that is answered elsewhere the span is not ended, and so not sent: another is begun there.
            return self._asked(call_id, payload[_ID_STARTS:id_ends], query, remaining_s, span)
        finally:
            current_call.reset(token)

    def _asked(
        self, call_id: int, user_id: bytes, query: Query, remaining_s: float | None, span: "CallSpan | None" = None
    ) -> bool:
        """Ask a question; return False if it is wrong."""
        try:
            question = self.lookup.uncounted_question(user_id.decode(), query)
            # The last, and without effect when it fails: a call that is answered elsewhere is counted there.
            query.caller.spend(1)
        except Exception:  # noqa: BLE001  # found again, and told, where calls are tasks
            return False
        DirectCall(self, call_id, question, remaining_s, span).ask(remaining_s)
        return True


@lru_cache(maxsize=_MAX_REMEMBERED)
def _query_of(rest: bytes) -> Query | None:
    """Return what a request asks, by all that stands behind its user id; None if that is not plain."""
    try:
        request = GetUserFeaturesRequest.FromString(rest)
        query = query_of(request, caller=ANYONE)
    except (DecodeError, GatewayError):
        return None
    # Written again it is the same, so it has no second user id, nor a part of the first.
    plain = request.SerializeToString() == rest and not request.user_id
    return query if plain and not request.include_serving_info and query.request_data is None else None
