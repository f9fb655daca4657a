"""Merges the calls of an event loop's tasks.

A call that leaves alone is awaited by its own task, with its own deadline. A flight of several calls has a task of its
own, so it does not depend on any caller.
"""

import asyncio
from collections.abc import Awaitable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import grpc
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
    GetUserFeaturesResponse,
)

from streamflow_features._batch_reply import BatchReply
from streamflow_features._deadlines import Deadlines
from streamflow_features._errors import closed, from_rpc_error, late, too_many_users_limit
from streamflow_features._features import UserFeatures, user_features
from streamflow_features._merging import Call, Flight, Lane, LaneKey, Merger
from streamflow_features._outcomes import Outcome, features_of, outcomes_of
from streamflow_features._tracing import begin_call, end_call, shared

if TYPE_CHECKING:
    from opentelemetry.trace import Span


@dataclass(slots=True, eq=False, kw_only=True)
class _TaskCall(Call):
    future: "asyncio.Future[Outcome] | None" = None
    """None for a call that leaves alone."""
    context: Context = field(default_factory=copy_context)
    span: "Span | None" = None

    def end(self, outcome: Outcome) -> None:
        """Give the call its outcome if it waits for one."""
        if self.future is not None and not self.future.done():
            self.future.set_result(outcome)

    def end_late(self) -> None:
        """End the call because its deadline has passed."""
        self.end(late())


_TaskFlight = Flight[_TaskCall]


class TaskMerger:
    """Answers the calls of all tasks; calls that are made while others are under way share requests."""

    def __init__(
        self,
        get: grpc.aio.UnaryUnaryMultiCallable[GetUserFeaturesRequest, GetUserFeaturesResponse],
        batch_get: grpc.aio.UnaryUnaryMultiCallable[BatchGetUserFeaturesRequest, BatchReply],
    ) -> None:
        """Creates a merger that asks for one user with `get`, and for several with `batch_get`."""
        self._get = get
        self._batch_get = batch_get
        self._closed = False
        self._merger = Merger[_TaskCall]()
        self._sent: dict[_TaskFlight, grpc.aio.UnaryUnaryCall[BatchGetUserFeaturesRequest, BatchReply]] = {}
        """The requests of the flights under way, but those of calls that left alone."""
        self._deadlines = Deadlines[_TaskCall](_TaskCall.end_late)
        self._watched: set[Lane[_TaskCall]] = set()

    async def answer(self, key: LaneKey, request: GetUserFeaturesRequest, *, timeout_s: float) -> UserFeatures:
        """Return a user's features. Raises FeatureServingError."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        call = _TaskCall(request=request, deadline=now + timeout_s)
        # A closed channel raises an error of its own.
        if self._closed or self._merger.arrive(key, call, now) is not None:
            return await self._alone(key, call, timeout_s=timeout_s)
        call.future = loop.create_future()
        call.span = begin_call(call.context)
        try:
            features = await self._shared(key, call, call.future)
        except BaseException as error:
            end_call(call.span, error)
            raise
        end_call(call.span, None)
        return features

    async def _shared(self, key: LaneKey, call: _TaskCall, future: "asyncio.Future[Outcome]") -> UserFeatures:
        """Wait for the flight of a call, and ask again if its answer says so."""
        tick = self._deadlines.add(call, call.deadline)
        self._watch(call)
        try:
            outcome = await future
        finally:
            self._deadlines.drop(call, tick)
            deserted = self._merger.leave(call)
            if deserted is not None and deserted in self._sent:
                self._sent[deserted].cancel()
        features = features_of(outcome)
        if features is None:
            left_s = max(0.0, call.deadline - asyncio.get_running_loop().time())
            return await self._alone(key, call, timeout_s=left_s)
        return features

    def close(self) -> None:
        """End all calls that wait. The channel ends the calls that left alone."""
        self._closed = True
        flying = [call for flight in self._sent for call in flight.calls]
        for call in (*self._merger.drain(), *flying):
            call.end(closed())

    async def _alone(self, key: LaneKey, call: _TaskCall, *, timeout_s: float) -> UserFeatures:
        answered = False
        try:
            response = await self._get(call.request, timeout=timeout_s, metadata=key.metadata)
            answered = True
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and (task is None or not task.cancelling()):
                raise closed() from None
            raise
        finally:
            if call.future is None and call.flight is not None:
                flight = self._merger.land(call.flight, asyncio.get_running_loop().time(), answered=answered)
                self._send_next(flight)
        return user_features(response)

    def _watch(self, call: _TaskCall) -> None:
        """Have a flight of a lane in which calls wait lose its slot when it is late."""
        lane = call.lane
        if lane is not None and lane not in self._watched:
            self._watched.add(lane)
            asyncio.get_running_loop().call_at(self._merger.late_at(lane), self._look_after, lane)

    def _look_after(self, lane: Lane[_TaskCall]) -> None:
        self._watched.discard(lane)
        for flight in self._merger.late(lane, asyncio.get_running_loop().time()):
            self._send(flight)
        if lane.queue:
            self._watch(next(iter(lane.queue)))

    def _send_next(self, flight: _TaskFlight | None) -> None:
        if flight is not None:
            self._send(flight)

    def _send(self, flight: _TaskFlight) -> None:
        loop = asyncio.get_running_loop()
        spans = [call.span for call in flight.calls]
        first = next((call for call in flight.calls if call.span is not None), flight.calls[0])
        try:
            rpc = first.context.run(
                shared(spans, self._batch_get),
                flight.request(),
                timeout=flight.timeout_s(loop.time()),
                metadata=flight.lane.key.metadata,
            )
        except Exception as error:  # noqa: BLE001  # raised in the callers
            self._land(flight, error)
            return
        self._sent[flight] = rpc
        # Not in the task: a task that is cancelled ahead of its first step does nothing.
        loop.create_task(_reply(rpc)).add_done_callback(partial(self._flown, flight))

    def _flown(self, flight: _TaskFlight, task: "asyncio.Task[BatchReply]") -> None:
        if task.cancelled():
            self._land(flight, closed())
            return
        error = task.exception()
        self._land(flight, task.result() if error is None else error)

    def _land(self, flight: _TaskFlight, ended: BatchReply | BaseException) -> None:
        """Send the next flight, then hand out what came of this one."""
        self._sent.pop(flight, None)
        limit = too_many_users_limit(ended) if isinstance(ended, grpc.RpcError) else None
        calls, answered = flight.calls, isinstance(ended, BatchReply)
        if limit is not None and self._merger.go_again(flight, max_users=limit):
            calls = []
        self._send_next(self._merger.land(flight, asyncio.get_running_loop().time(), answered=answered))
        for call, outcome in zip(
            calls, outcomes_of(calls, closed() if self._closed and not answered else ended), strict=True
        ):
            call.end(outcome)


async def _reply(rpc: Awaitable[BatchReply]) -> BatchReply:
    return await rpc
