"""Serving while features are materialized: every call gets the old value or the new value."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from stack_under_test import Stack
from streamflow_features import FeatureClient, FeatureServingError
from streamflow_offline.materialize.job import materialize
from streamflow_offline.materialize.report import ViewReport

pytestmark = pytest.mark.slow

_CALLERS = 4
_BOUND_S = 60
_SHIFT = 1_000_000


class Watch:
    """Callers that read users in turn, and the different values of failed payments that they saw, in order."""

    def __init__(self, stack: Stack, user_ids: list[str]) -> None:
        self._stack = stack
        self._user_ids = user_ids
        self._changed = threading.Condition()
        self._ended = False
        self.told: dict[str, list[int | None]] = {user_id: [] for user_id in user_ids}
        self.failures: Counter[str] = Counter()
        self.rounds = [0] * _CALLERS

    @contextmanager
    def running(self) -> Iterator["Watch"]:
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(_CALLERS)]
        for thread in threads:
            thread.start()
        try:
            self.wait_for_a_round()
            yield self
        finally:
            self._ended = True
            for thread in threads:
                thread.join(_BOUND_S)

    def wait_for_a_round(self) -> None:
        """Return once every user was read again after this call."""
        with self._changed:
            # The rounds in progress began earlier, so they don't count.
            enough = [rounds + 2 for rounds in self.rounds]
            assert self._changed.wait_for(
                lambda: all(rounds >= bound for rounds, bound in zip(self.rounds, enough, strict=True)), _BOUND_S
            ), self.failures

    def _ask(self, number: int) -> None:
        with FeatureClient(self._stack.gateway, timeout_s=5) as client:
            while not self._ended:
                for user_id in self._user_ids[number::_CALLERS]:
                    try:
                        features = client.get_user_features(user_id)
                    except FeatureServingError as error:
                        self._note(user_id, failure=error.code.name)
                    else:
                        assert len(features) == 14
                        value = features["failed_payments_90d"]
                        assert value is None or isinstance(value, int)
                        self._note(user_id, value=value)
                with self._changed:
                    self.rounds[number] += 1
                    self._changed.notify_all()

    def _note(self, user_id: str, *, value: int | None = None, failure: str | None = None) -> None:
        with self._changed:
            if failure is not None:
                self.failures[failure] += 1
            elif self.told[user_id][-1:] != [value]:
                self.told[user_id].append(value)


@pytest.fixture
def user_ids(own_servers_stack: Stack) -> list[str]:
    """Some of the users, spread over the order in which they are written."""
    with psycopg.connect(own_servers_stack.postgres_url) as connection:
        rows = connection.execute("SELECT DISTINCT user_id FROM payments_agg_90d_snapshots ORDER BY 1").fetchall()
    return [user_id for (user_id,) in rows[::350]]


@pytest.fixture
def correct(own_servers_stack: Stack) -> Iterator[Callable[[], None]]:
    """Corrects the failed payments of every user; they are restored after the test."""
    corrected = 0

    def shift() -> None:
        nonlocal corrected
        _shift(own_servers_stack, _SHIFT)
        corrected += 1

    yield shift
    _shift(own_servers_stack, -_SHIFT * corrected)
    _materialize(own_servers_stack)


def _shift(stack: Stack, by: int) -> None:
    """Add a number to the failed payments of every user, as a corrected month does."""
    with psycopg.connect(stack.postgres_url) as connection:
        connection.execute(
            "UPDATE payments_agg_90d_snapshots"
            " SET failed_payments_90d = failed_payments_90d + %s, ingested_at = clock_timestamp()",
            (by,),
        )


def _materialize(stack: Stack, *, incremental: bool = False) -> list[ViewReport]:
    return materialize(
        postgres_url=stack.postgres_url,
        redis_url=stack.config.redis_url,
        incremental=incremental,
        on_progress=lambda _: None,
    )


def test_calls_are_answered_with_the_old_or_the_new_value_while_features_are_materialized(
    own_servers_stack: Stack, user_ids: list[str], correct: Callable[[], None]
) -> None:
    before = {user_id: own_servers_stack.ask(user_id)["failed_payments_90d"] for user_id in user_ids}
    with Watch(own_servers_stack, user_ids).running() as watch:
        correct()
        rounds = sum(watch.rounds)
        reports = _materialize(own_servers_stack, incremental=True)
        assert sum(watch.rounds) > rounds
        watch.wait_for_a_round()
    assert watch.failures == {}
    written = {report.view: report.written for report in reports}
    assert written["payments_agg_90d_fv"] > len(user_ids)
    assert sum(written.values()) == written["payments_agg_90d_fv"]
    for user_id, told in watch.told.items():
        old = before[user_id]
        assert isinstance(old, int)
        assert told == [old, old + _SHIFT]


def test_calls_are_answered_while_all_features_are_written_over(own_servers_stack: Stack, user_ids: list[str]) -> None:
    with Watch(own_servers_stack, user_ids).running() as watch:
        reports = _materialize(own_servers_stack)
        watch.wait_for_a_round()
    assert watch.failures == {}
    assert {len(told) for told in watch.told.values()} == {1}
    assert all(report.written == report.users_online for report in reports)
