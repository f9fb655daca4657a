"""Calls that wait for a read: grouped by what may share one, and groups take turns.

Deficit round robin, in rows: while several groups are there, a turn is a read of at most `_TURN_ROWS` rows. A group
whose calls have all left keeps its place until its next turn, because its callers are likely to call again by then.
Groups that were never answered share one turn, so a caller with new credentials in each call takes one turn, not many.
All is O(1) in calls and groups.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from feature_gateway.coalescing.bag import Bag
from feature_gateway.coalescing.batch import Batch, Group, Waiter
from feature_gateway.reads import Slot

_TURN_ROWS = 16
_MAX_KNOWN = 1024
_MAX_NEWCOMERS = 256
# With every second of their turns by chance, a call may leave long ahead of its place by age.
_NEWCOMERS_AHEAD = 2

_Calls = OrderedDict[Waiter, None]
_NEWCOMERS_TURN = None


class CallQueue:
    """Keeps waiting calls by group, each group's in the order of arrival; its length is in calls."""

    def __init__(self, *, max_read_rows: int, max_calls: int) -> None:
        """Create an empty queue; `max_read_rows` is in distinct rows of a read."""
        self._max_read_rows = max_read_rows
        self._max_calls = max_calls
        self._length = 0
        self._turns: OrderedDict[Group | None, _Calls] = OrderedDict()
        """Groups by their next turn, also those whose calls have left since their last one."""
        self._waiting_known = 0
        """How many of them have calls."""
        self._newcomers: OrderedDict[Group, _Calls] = OrderedDict()
        """Groups never answered, the oldest first, all with calls."""
        self._newcomers_calls = Bag[Waiter, Group]()
        self._by_chance = False
        """Whether the newcomers' next turn is by chance, not by age."""
        # Hashes: two groups with the same one only make a newcomer known too early, and credentials are not kept.
        self._known: OrderedDict[int, None] = OrderedDict()
        """The groups answered last, the latest at the end."""

    def __len__(self) -> int:
        return self._length

    @property
    def groups(self) -> int:
        """How many groups have calls."""
        return self._waiting_known + len(self._newcomers)

    def has_room(self, group: Group, count: int) -> bool:
        """Return whether this many more calls of a group may wait."""
        if self._length + count > self._max_calls:
            return False
        return len(self._newcomers) < _MAX_NEWCOMERS or group in self._newcomers or self._is_known(group)

    def reads_ahead(self, group: Group) -> int:
        """Return about how many reads leave ahead of a new call of a group."""
        others, calls = self._waiting_known, self._turns.get(group)
        turns = 0
        if others == 1 and calls and not self._newcomers:
            # Alone.
            return len(calls) // self.most_rows(group, alone=True)
        if self._is_known(group):
            others += bool(self._newcomers) - bool(calls)
        else:
            calls = self._newcomers.get(group)
            turns = min(len(self._newcomers) - (calls is not None), _NEWCOMERS_AHEAD)
        turns += len(calls or ()) // self.most_rows(group, alone=not others)
        return turns * (others + 1) + others

    def add(self, group: Group, waiters: Sequence[Waiter]) -> None:
        """Add calls behind all waiting calls of their group."""
        if self._is_known(group):
            calls = self._turns.setdefault(group, OrderedDict())
            self._waiting_known += not calls
        else:
            calls = self._newcomers.setdefault(group, OrderedDict())
            self._turns.setdefault(_NEWCOMERS_TURN, OrderedDict())
            for waiter in waiters:
                self._newcomers_calls.add(waiter, group)
        for waiter in waiters:
            calls[waiter] = None
        self._length += len(waiters)

    def remove(self, group: Group, waiter: Waiter) -> bool:
        """Remove a call, and return whether it waited here."""
        calls = self._newcomers.get(group)
        if calls is None:
            calls = self._turns.get(group, OrderedDict())
        if waiter not in calls:
            return False
        del calls[waiter]
        self._newcomers_calls.discard(waiter)
        self._left(group, calls, 1)
        return True

    def answered(self, group: Group) -> None:
        """Give a group turns of its own from now on."""
        key = hash(group)
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        calls = self._newcomers.pop(group, None)
        if calls is not None:
            for waiter in calls:
                self._newcomers_calls.discard(waiter)
            self._turns[group] = calls
            self._waiting_known += 1
            self._turns.move_to_end(_NEWCOMERS_TURN)

    def take_batch(self, slot: Slot, now: float) -> Batch:
        """Remove calls of the group whose turn it is; return them as a batch for a slot."""
        group = self._next_group()
        calls = self._newcomers.get(group)
        if calls is None:
            calls = self._turns[group]
        batch, before = Batch(group, {}, slot, now), len(calls)
        most = self.most_rows(group, alone=len(self._turns) == 1 and len(self._newcomers) <= 1)
        while calls:
            waiter = next(iter(calls))
            if len(batch.waiters) >= most and waiter.key not in batch.waiters:
                break
            del calls[waiter]
            self._newcomers_calls.discard(waiter)
            batch.add(waiter)
        self._left(group, calls, before - len(calls))
        return batch

    def _next_group(self) -> Group:
        """Return the group whose turn it is, and put its next turn behind those of all others."""
        while True:
            group, calls = next(iter(self._turns.items()))
            if calls or (group is _NEWCOMERS_TURN and self._newcomers):
                break
            del self._turns[group]
        self._turns.move_to_end(group)
        if group is not _NEWCOMERS_TURN:
            return group
        chosen = next(iter(self._newcomers))
        if len(self._newcomers) > 1:
            # By age and by chance in turns: by age, so that each is served; by chance of all calls, so that callers are
            # served in time however many others are there, the sooner the more they are.
            if self._by_chance:
                chosen = self._newcomers_calls.pick()
            self._by_chance = not self._by_chance
            self._newcomers.move_to_end(chosen)
        return chosen

    def drain(self) -> Iterator[Waiter]:
        """Remove and return all calls."""
        for calls in (*self._newcomers.values(), *self._turns.values()):
            yield from calls
        self._newcomers.clear()
        self._newcomers_calls = Bag()
        self._turns.clear()
        self._length = self._waiting_known = 0

    def _is_known(self, group: Group) -> bool:
        if group in self._turns:
            return True
        return hash(group) in self._known and group not in self._newcomers and len(self._turns) < _MAX_KNOWN

    def most_rows(self, group: Group, *, alone: bool) -> int:
        """Return the most rows of a read of a group, which may be the only one with calls."""
        most = self._max_read_rows if alone else min(_TURN_ROWS, self._max_read_rows)
        return min(most, group.feature_set.max_read_rows or most)

    def _left(self, group: Group, calls: _Calls, count: int) -> None:
        self._length -= count
        if not calls and self._newcomers.pop(group, None) is None:
            self._waiting_known -= 1
