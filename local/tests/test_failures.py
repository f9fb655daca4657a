"""Faults of real processes under load: which status each call gets, and that calls are answered again."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import pytest
from stack_under_test import CANARY, Stack
from streamflow_features import FeatureClient, FeatureServingError

_CALLERS = 8
_DEADLINE_S = 0.5
_BOUND_S = 60


@dataclass
class Load:
    """Callers that call again and again, and the outcomes of their calls."""

    outcomes: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    changed: threading.Condition = field(default_factory=threading.Condition)
    ended: bool = False

    @property
    def calls(self) -> int:
        return sum(self.outcomes.values())

    def note(self, outcome: str, took_s: float) -> None:
        with self.changed:
            self.outcomes[outcome] += 1
            self.longest_s = max(self.longest_s, took_s)
            self.changed.notify_all()

    def wait_for(self, more: int, outcome: str | None = None) -> None:
        """Return after `more` calls, of any outcome or of one outcome."""
        with self.changed:
            before = self.calls if outcome is None else self.outcomes[outcome]
            assert self.changed.wait_for(
                lambda: (self.calls if outcome is None else self.outcomes[outcome]) >= before + more, _BOUND_S
            ), self.outcomes

    def failures(self) -> dict[str, int]:
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "OK"}


@contextmanager
def _load(stack: Stack, *, deadline_s: float = _DEADLINE_S) -> Iterator[Load]:
    load = Load()

    def caller() -> None:
        with FeatureClient(stack.gateway, timeout_s=deadline_s) as client:
            while not load.ended:
                started = time.monotonic()
                try:
                    client.get_user_features(CANARY)
                    outcome = "OK"
                except FeatureServingError as error:
                    outcome = error.code.name
                load.note(outcome, time.monotonic() - started)

    threads = [threading.Thread(target=caller) for _ in range(_CALLERS)]
    for thread in threads:
        thread.start()
    try:
        load.wait_for(50, "OK")
        yield load
    finally:
        load.ended = True
        for thread in threads:
            thread.join(_BOUND_S)


@contextmanager
def _frozen(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _workers(master: int) -> list[int]:
    """Return the processes that answer; gunicorn's master does not."""
    return [child.pid for child in psutil.Process(master).children()]


@pytest.fixture(scope="module")
def stack(either_stack: Stack) -> Stack:
    """A stack with either of the feature servers."""
    return either_stack


@pytest.fixture
def pids(stack: Stack) -> dict[str, int]:
    """The processes once all are healthy, because the stack may still recover from the fault of another test."""
    stack.wait_until_healthy()
    return {name: pid for name, pid in stack.pids().items() if pid}


def test_a_feature_server_killed_under_load_costs_no_call(stack: Stack, pids: dict[str, int]) -> None:
    with _load(stack, deadline_s=_BOUND_S) as load:
        master = pids["feature-server-1"]
        # The master first: it would start another worker, which would listen on the port without a master.
        for pid in (master, *_workers(master)):
            os.kill(pid, signal.SIGKILL)
        load.wait_for(1000)
    assert load.failures() == {}


def test_a_feature_server_frozen_under_load_costs_only_the_reads_it_had(stack: Stack, pids: dict[str, int]) -> None:
    with _load(stack) as load, _frozen(*_workers(pids["feature-server-2"])):
        load.wait_for(1000, "OK")
    # After three reads in a row that time out the server is ejected; a read has at most all callers.
    assert set(load.failures()) <= {"DEADLINE_EXCEEDED"}
    assert sum(load.failures().values()) <= 3 * _CALLERS


@pytest.mark.parametrize("name", ["valkey", "feature servers"])
def test_while_all_behind_it_is_frozen_every_call_ends_in_time_and_then_service_is_back(
    stack: Stack, pids: dict[str, int], name: str
) -> None:
    servers = [pid for process, pid in pids.items() if process.startswith("feature-server")]
    frozen = [pids["valkey"]] if name == "valkey" else [worker for server in servers for worker in _workers(server)]
    with _load(stack) as load:
        with _frozen(*frozen):
            load.wait_for(5 * _CALLERS)
            in_the_cold = dict(load.outcomes)
            load.wait_for(3 * _CALLERS)
            assert load.outcomes["OK"] <= in_the_cold["OK"]
        load.wait_for(200, "OK")
    assert set(load.failures()) <= {"DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    # The client's timer ends a call at its deadline; this bound is for calls that hang despite the timer.
    assert load.longest_s < _BOUND_S / 2


def test_valkey_killed_under_load_costs_at_most_the_calls_until_it_is_back(stack: Stack, pids: dict[str, int]) -> None:
    with _load(stack) as load:
        os.kill(pids["valkey"], signal.SIGKILL)
        deadline = time.monotonic() + _BOUND_S
        # The supervisor may restart it faster than the client gives up; the drill keeps it down for longer.
        while stack.pids()["valkey"] in {None, pids["valkey"]}:
            assert time.monotonic() < deadline
        load.wait_for(200, "OK")
    assert set(load.failures()) <= {"DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    assert stack.ask(CANARY).user_known
