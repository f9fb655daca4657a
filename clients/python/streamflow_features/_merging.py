"""Which calls leave together: the rule alone, without threads, clocks or I/O. Times are in seconds on one clock.

Calls with equal keys share a lane. A call that finds a free slot in its lane leaves at once, alone: at low load nothing
waits. While all slots of the lane are taken, calls gather. When a slot frees, they leave together, and the first that
came is the first that leaves. No lane waits for another.

A flight takes at most half of the calls that wait and of those that have just landed, whose callers are likely to call
again. Otherwise callers without a pause would all be in one flight: the callers would wait while the gateway works, and
the gateway while the callers do.

A user of Merger tells it everything that happens, one thing at a time, and sends the flights that it returns.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, GetUserFeaturesRequest

from streamflow_features._authorization import Metadata
from streamflow_features._selections import Selection

MAX_IN_FLIGHT = 1
MAX_USERS = 128
LEAST_HALF = 8
"""So many calls leave together in any case: a request costs as much as several users of a request."""

# A quarter of what a gRPC server takes in one message by default. A request that is larger leaves alone.
MAX_BYTES = 1 << 20

# A flight that takes much longer than the last ones, for example to a frozen gateway, loses its slot, and the next
# flight goes to another gateway. The first flights also connect, so patience begins with the most.
_LEAST_PATIENCE_S = 0.01
_MOST_PATIENCE_S = 0.1
_PATIENCE_FLIGHTS = 8
_SHARE_OF_LAST = 1 / 8


class LaneKey(NamedTuple):
    """What calls have in common that may share a request."""

    selection: Selection
    metadata: Metadata


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """The call of one caller."""

    request: GetUserFeaturesRequest
    deadline: float
    lane: "Lane[Any] | None" = None
    flight: "Flight[Any] | None" = None
    """What the call left with. None while the call waits in its lane."""
    left: bool = False
    """Whether the caller waits no more."""


CallT = TypeVar("CallT", bound=Call)


@dataclass(slots=True, eq=False)
class Lane(Generic[CallT]):
    """The calls with one key."""

    key: LaneKey
    queue: OrderedDict[CallT, None] = field(default_factory=OrderedDict)
    """The calls that wait, in the order of arrival."""
    holding: "list[Flight[CallT]]" = field(default_factory=list)
    """The flights that hold a slot."""
    under_way: int = 0
    """How many flights have not landed."""


@dataclass(slots=True, eq=False)
class Flight(Generic[CallT]):
    """Calls that left together in one request."""

    lane: Lane[CallT]
    calls: list[CallT]
    started: float
    waiting: int
    """How many of the callers still wait."""
    landed: bool = False

    def request(self) -> BatchGetUserFeaturesRequest:
        """Return the request of all calls."""
        return self.lane.key.selection.batch_request([call.request for call in self.calls])

    def timeout_s(self, now: float) -> float:
        """Return the time until the last deadline. Callers with earlier deadlines leave at theirs."""
        return max(call.deadline for call in self.calls) - now


class Merger(Generic[CallT]):
    """Decides which calls leave together."""

    def __init__(
        self,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_users: int = MAX_USERS,
        max_bytes: int = MAX_BYTES,
        least_half: int = LEAST_HALF,
    ) -> None:
        """Creates a merger with `max_in_flight` slots in each lane, and flights of `max_users` and `max_bytes`."""
        self._least_half = least_half
        self._max_in_flight = max_in_flight
        self._max_users = max_users
        self._max_bytes = max_bytes
        self._lanes: dict[LaneKey, Lane[CallT]] = {}
        self._usual_s = _MOST_PATIENCE_S / _PATIENCE_FLIGHTS

    @property
    def patience_s(self) -> float:
        """How long a flight holds its slot while calls wait."""
        return min(max(_LEAST_PATIENCE_S, _PATIENCE_FLIGHTS * self._usual_s), _MOST_PATIENCE_S)

    def arrive(self, key: LaneKey, call: CallT, now: float) -> Flight[CallT] | None:
        """Add a call; return its flight, in which it is alone, or None if the call waits."""
        lane = self._lanes.get(key)
        if lane is None:
            # Most calls of a lone caller.
            lane = call.lane = self._lanes[key] = Lane(key)
            return self._depart(lane, [call], now)
        call.lane = lane
        lane.queue[call] = None
        return self._next(lane, now)

    def leave(self, call: CallT) -> Flight[CallT] | None:
        """Remove a call, answered or not; return its flight when nobody waits for it any more, to be cancelled."""
        if call.left or call.lane is None:
            return None
        call.left = True
        flight = call.flight
        if flight is None:
            call.lane.queue.pop(call, None)
            self._drop_if_idle(call.lane)
            return None
        flight.waiting -= 1
        return flight if not flight.waiting and not flight.landed else None

    def land(self, flight: Flight[CallT], now: float, *, answered: bool) -> Flight[CallT] | None:
        """End a flight, and return the flight that takes its slot. `answered` says whether it has had a reply."""
        if flight.landed:
            return None
        flight.landed = True
        lane = flight.lane
        lane.under_way -= 1
        if flight in lane.holding:
            lane.holding.remove(flight)
        if answered:
            self._usual_s += (now - flight.started - self._usual_s) * _SHARE_OF_LAST
        half = (len(lane.queue) + len(flight.calls) + 1) // 2
        following = self._next(lane, now, most=max(half, self._least_half))
        self._drop_if_idle(lane)
        return following

    def go_again(self, flight: Flight[CallT], *, max_users: int) -> bool:
        """Put the calls of a flight that had too many users back ahead of those that wait; return whether that helps.

        No later flight has more than `max_users`. `land` is next.
        """
        if not 0 < max_users < len(flight.calls) or flight.landed:
            return False
        self._max_users = min(self._max_users, max_users)
        for call in reversed(flight.calls):
            if not call.left:
                call.flight = None
                flight.lane.queue[call] = None
                flight.lane.queue.move_to_end(call, last=False)
        flight.calls, flight.waiting = [], 0
        return True

    def late(self, lane: Lane[CallT], now: float) -> list[Flight[CallT]]:
        """Take the slots of flights that are out for longer than patience; return the flights that get them."""
        latest = now - self.patience_s
        lane.holding = [flight for flight in lane.holding if flight.started > latest]
        following = []
        while (flight := self._next(lane, now)) is not None:
            following.append(flight)
        return following

    def late_at(self, lane: Lane[CallT]) -> float:
        """Return when `late` is next of use to the calls that wait in a lane."""
        return min(flight.started for flight in lane.holding) + self.patience_s

    def drain(self) -> list[CallT]:
        """Remove and return all calls that wait in lanes."""
        calls = [call for lane in self._lanes.values() for call in lane.queue]
        for lane in list(self._lanes.values()):
            lane.queue.clear()
            self._drop_if_idle(lane)
        return calls

    def _next(self, lane: Lane[CallT], now: float, *, most: int = MAX_USERS) -> Flight[CallT] | None:
        """Return the flight that fills a free slot of a lane, with at most so many calls."""
        if not lane.queue or len(lane.holding) >= self._max_in_flight:
            return None
        calls: list[CallT] = []
        size = 0
        most = min(most, self._max_users)
        while lane.queue and len(calls) < most:
            call = next(iter(lane.queue))
            size += call.request.ByteSize()
            if calls and size > self._max_bytes:
                break
            del lane.queue[call]
            calls.append(call)
        return self._depart(lane, calls, now)

    @staticmethod
    def _depart(lane: Lane[CallT], calls: list[CallT], now: float) -> Flight[CallT]:
        flight = Flight(lane, calls, now, len(calls))
        for call in calls:
            call.flight = flight
        lane.holding.append(flight)
        lane.under_way += 1
        return flight

    def _drop_if_idle(self, lane: Lane[CallT]) -> None:
        if not lane.queue and not lane.under_way and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]
