"""pygrpc-native's server, with methods that it hands requests to in numbers, without a task for each call.

It overrides private parts of the package: `_on_events` gets requests as they come from the engine, `_calls` has the
calls under way, `_table` the methods by number. Each call of `aio.Server` otherwise is a task, a context and six
coroutines.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import pygrpc_native.aio as native
from pygrpc_native import EVENT_CALL, NativeGrpcFront

from feature_gateway.grpc_api.direct_calls import Details

Begin = Callable[[int, bytes, Details], bool]
"""Begins the call of a number, from its request and its details; returns False for a call that is the server's."""


class NativeServer(native.Server):
    """A server of which some methods are answered directly."""

    _direct_path = ""
    _begin: Begin | None = None

    @property
    def calls(self) -> dict[int, Any]:
        """The calls under way, by number; each has `task`, which may be None, and `cancel`."""
        return self._calls

    @property
    def front(self) -> NativeGrpcFront:
        """Where replies are written; raises RuntimeError for a server without a port."""
        if self._front is None:
            raise RuntimeError("a port is added first")
        return self._front

    def answer_directly(self, path: str, begin: Begin) -> None:
        """Have `begin` called with the requests of a unary method; it returns whether it answers the call."""
        self._direct_path, self._begin = path, begin

    @cached_property
    def _direct_numbers(self) -> frozenset[int]:
        """The method's number. Methods get their numbers at the start, ahead of the first request."""
        return frozenset(number for number, (path, _) in enumerate(self._table) if path == self._direct_path)

    def _on_events(self, events: list[tuple[Any, ...]]) -> None:
        begin = self._begin
        if begin is None or self._stopping:
            super()._on_events(events)
            return
        numbers = self._direct_numbers
        rest = [
            event
            for event in events
            if event[0] != EVENT_CALL or event[2] not in numbers or not begin(event[1], event[3], event[5])
        ]
        if rest:
            super()._on_events(rest)
