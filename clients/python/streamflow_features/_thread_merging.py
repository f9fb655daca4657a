"""Merges the calls of threads.

No caller depends on another caller's thread. A call that leaves alone is the caller's own blocking call, with the
caller's deadline. A flight of several calls is on gRPC's thread. The thread that learns of a free slot sends the next
flight, and does not wait for it.
"""

import threading
import time
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
    GetUserFeaturesResponse,
)

from streamflow_features._batch_reply import BatchReply
from streamflow_features._errors import closed, from_rpc_error, late, too_many_users_limit
from streamflow_features._features import UserFeatures, user_features
from streamflow_features._interrupts import uninterrupted
from streamflow_features._merging import Call, Flight, LaneKey, Merger
from streamflow_features._outcomes import Outcome, features_of, outcomes_of
from streamflow_features._tracing import begin_call, end_call, shared

if TYPE_CHECKING:
    from opentelemetry.trace import Span


@dataclass(slots=True, eq=False, kw_only=True)
class _ThreadCall(Call):
    outcome: Outcome | None = None
    context: Context = field(default_factory=copy_context)
    span: "Span | None" = None
    turnstile: "threading.Lock | None" = None
    """Held until the call has its outcome. None for a call that leaves alone."""

    def end(self, outcome: Outcome) -> None:
        """Give the call its outcome if it waits for one."""
        if self.outcome is None and self.turnstile is not None:
            self.outcome = outcome
            self.turnstile.release()


class ThreadMerger:
    """Answers the calls of all threads; calls that are made while others are under way share requests."""

    def __init__(
        self,
        get: "grpc.UnaryUnaryMultiCallable[GetUserFeaturesRequest, GetUserFeaturesResponse]",
        batch_get: "grpc.UnaryUnaryMultiCallable[BatchGetUserFeaturesRequest, BatchReply]",
    ) -> None:
        """Creates a merger that asks for one user with `get`, and for several with `batch_get`."""
        self._get = get
        self._batch_get = batch_get
        self._closed = False
        self._lock = threading.Lock()
        self._merger = Merger[_ThreadCall]()
        self._sent: dict[Flight[_ThreadCall], Any] = {}
        """The requests of the flights under way, but those of calls that left alone."""

    def answer(self, key: LaneKey, request: GetUserFeaturesRequest, *, timeout_s: float) -> UserFeatures:
        """Return a user's features. Raises FeatureServingError."""
        call = _ThreadCall(request=request, deadline=time.monotonic() + timeout_s)
        try:
            features = self._answered(key, call, timeout_s)
        except BaseException as error:
            end_call(call.span, error)
            raise
        end_call(call.span, None)
        return features

    def _answered(self, key: LaneKey, call: _ThreadCall, timeout_s: float) -> UserFeatures:
        answered = False
        try:
            turnstile = self._turnstile(key, call)
            if turnstile is not None:
                features = features_of(self._outcome(call, turnstile))
                if features is not None:
                    return features
                timeout_s = max(0.0, call.deadline - time.monotonic())
            response = self._get(call.request, timeout=timeout_s, metadata=key.metadata)
            answered = True
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            self._end(call, answered=answered)
        return user_features(response)

    def close(self) -> None:
        """End all calls that wait. The channel ends the calls that left alone."""
        with self._lock:
            self._closed = True
            flying = [call for flight in self._sent for call in flight.calls]
            for call in (*self._merger.drain(), *flying):
                call.end(closed())

    def _turnstile(self, key: LaneKey, call: _ThreadCall) -> "threading.Lock | None":
        """Add a call; return what it waits at, or None if it leaves alone."""
        with self._lock:
            # A closed channel raises an error of its own.
            if self._closed or self._merger.arrive(key, call, time.monotonic()) is not None:
                return None
            call.turnstile = threading.Lock()
            call.turnstile.acquire()
            call.span = begin_call(call.context)
            return call.turnstile

    def _outcome(self, call: _ThreadCall, turnstile: threading.Lock) -> Outcome:
        """Return a call's outcome as soon as it is there, at its deadline at the latest."""
        while call.outcome is None:
            until, now = call.deadline, time.monotonic()
            if now >= until:
                return late()
            with self._lock:
                lane = call.lane if call.flight is None and call.outcome is None else None
                following = self._merger.late(lane, now) if lane is not None else []
                if lane is not None and call.flight is None:
                    until = min(until, self._merger.late_at(lane))
            for flight in following:
                self._send(flight)
            turnstile.acquire(timeout=max(0.0, until - time.monotonic()))
        return call.outcome

    def _end(self, call: _ThreadCall, *, answered: bool) -> None:
        """Let a call leave: give up the slot of its own flight, or cancel a flight that nobody waits for any more."""
        following, deserted = None, None
        with self._lock:
            if call.turnstile is None and call.flight is not None:
                following = self._merger.land(call.flight, time.monotonic(), answered=answered)
            else:
                deserted = self._merger.leave(call)
            rpc = self._sent.get(deserted) if deserted is not None else None
        if following is not None:
            self._send(following)
        if rpc is not None:
            rpc.cancel()

    def _send(self, flight: Flight[_ThreadCall]) -> None:
        uninterrupted(partial(self._start, flight))

    def _start(self, flight: Flight[_ThreadCall]) -> None:
        spans = [call.span for call in flight.calls]
        first = next((call for call in flight.calls if call.span is not None), flight.calls[0])
        try:
            rpc = first.context.run(
                shared(spans, self._batch_get.future),
                flight.request(),
                timeout=flight.timeout_s(time.monotonic()),
                metadata=flight.lane.key.metadata,
            )
        except Exception as error:  # noqa: BLE001  # raised in the callers
            self._land(flight, error)
            return
        except BaseException:
            # What ends this thread is its own. A request that was sent twice is harmless.
            self._start(flight)
            raise
        with self._lock:
            self._sent[flight] = rpc
            deserted = not flight.waiting
        rpc.add_done_callback(partial(self._flown, flight))
        if deserted:
            rpc.cancel()

    def _flown(self, flight: Flight[_ThreadCall], rpc: Any) -> None:
        try:
            self._land(flight, rpc.result())
        except grpc.FutureCancelledError:
            self._land(flight, closed())
        except grpc.RpcError as error:
            self._land(flight, error)

    def _land(self, flight: Flight[_ThreadCall], ended: BatchReply | Exception) -> None:
        """Send the next flight, then hand out what came of this one."""
        limit = too_many_users_limit(ended) if isinstance(ended, grpc.RpcError) else None
        with self._lock:
            self._sent.pop(flight, None)
            calls = flight.calls
            if limit is not None and self._merger.go_again(flight, max_users=limit):
                calls = []
            answered = isinstance(ended, BatchReply)
            following = self._merger.land(flight, time.monotonic(), answered=answered)
        if following is not None:
            self._send(following)
        outcomes = outcomes_of(calls, closed() if self._closed and not answered else ended)
        with self._lock:
            for call, outcome in zip(calls, outcomes, strict=True):
                call.end(outcome)
