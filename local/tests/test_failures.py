"""Faults of real processes under load: what each call is told, and that service comes back."""

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
    """Callers that ask again and again, and what they were told."""

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
        """Return after that many more calls, of any outcome or of the one named."""
        with self.changed:
            before = self.calls if outcome is None else self.outcomes[outcome]
            assert self.changed.wait_for(
                lambda: (self.calls if outcome is None else self.outcomes[outcome]) >= before + more, _BOUND_S
            ), self.outcomes

    def failures(self) -> dict[str, int]:
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "OK"}


@contextmanager
def _load(stack: Stack) -> Iterator[Load]:
    load = Load()

    def caller() -> None:
        with FeatureClient(stack.gateway, timeout_s=_DEADLINE_S) as client:
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
    """The processes that answer: gunicorn's master only looks after them."""
    return [child.pid for child in psutil.Process(master).children()]


@pytest.fixture
def pids(stack: Stack) -> dict[str, int]:
    """The processes, once all are well: a fault before may still be healing."""
    deadline = time.monotonic() + _BOUND_S
    while stack.local("status").returncode:
        assert time.monotonic() < deadline
    return stack.pids()


def test_a_feature_server_killed_under_load_costs_no_call(stack: Stack, pids: dict[str, int]) -> None:
    with _load(stack) as load:
        for pid in (*_workers(pids["feature-server-1"]), pids["feature-server-1"]):
            os.kill(pid, signal.SIGKILL)
        load.wait_for(1000)
    assert load.failures() == {}


def test_a_feature_server_frozen_under_load_costs_only_the_reads_it_had(stack: Stack, pids: dict[str, int]) -> None:
    with _load(stack) as load, _frozen(*_workers(pids["feature-server-2"])):
        load.wait_for(1000, "OK")
    # Three reads in a row that run out of time set it aside; each has every caller at the most.
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
    # The client's own timer would end a call at its deadline; this is about none hanging on behind it.
    assert load.longest_s < _BOUND_S / 2


def test_valkey_killed_under_load_costs_at_most_the_calls_until_it_is_back(stack: Stack, pids: dict[str, int]) -> None:
    with _load(stack) as load:
        os.kill(pids["valkey"], signal.SIGKILL)
        deadline = time.monotonic() + _BOUND_S
        # Supervised, it may be back sooner than the client gives up; the drill keeps it away for longer.
        while stack.pids()["valkey"] in {None, 0, pids["valkey"]}:
            assert time.monotonic() < deadline
        load.wait_for(200, "OK")
    assert set(load.failures()) <= {"DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    assert stack.ask(CANARY).user_known
