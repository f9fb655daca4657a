"""Runs that meet another run, or their end: the lock, and a process killed in the middle."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from online_stores import PAYMENTS, OnlineStores
from streamflow_offline.progress import Progress
from training_sets import execute

USERS = 30_000
BATCH_SIZE = 10_000
TIMEOUT_S = 60


@pytest.fixture
def stores(online_stores: OnlineStores) -> OnlineStores:
    """Users enough for several batches."""
    execute(
        online_stores.postgres_url,
        "INSERT INTO payments_agg_90d_snapshots (user_id, as_of, ingested_at, failed_payments_90d)"
        f" SELECT to_char(u, 'FM00000'), date '2024-01-31', now(), u FROM generate_series(1, {USERS}) AS u",
    )
    return online_stores


def test_a_run_killed_in_the_middle_is_made_good_by_the_next(stores: OnlineStores) -> None:
    command = [str(Path(sys.executable).parent / "offline"), "materialize", "--view", PAYMENTS]
    environment = {**os.environ, "POSTGRES_URL": stores.postgres_url, "REDIS_URL": stores.redis_url}
    with (
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process,
        stores.redis() as client,
    ):
        assert process.stderr is not None
        assert any("users to write" in line for line in process.stderr)
        deadline = time.monotonic() + TIMEOUT_S
        while client.dbsize() < BATCH_SIZE:
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.kill()
        process.wait(TIMEOUT_S)
        assert BATCH_SIZE <= client.dbsize() < USERS
    assert stores.intervals(PAYMENTS) == []

    report = stores.materialize(incremental=True, views=[PAYMENTS])[PAYMENTS]

    assert (report.written, report.users_online, report.fresh) == (USERS, USERS, True)
    some = range(1, USERS, 37)
    assert stores.served([f"{number:05}" for number in some], f"{PAYMENTS}:failed_payments_90d") == list(some)


def test_two_runs_never_interleave(stores: OnlineStores) -> None:
    second = OnlineStores(stores.postgres_url, stores.redis_url)
    first_writes, second_waits, first_ended = threading.Event(), threading.Event(), threading.Event()

    def hold(line: str) -> None:
        if "users to write" in line:
            first_writes.set()
            assert second_waits.wait(TIMEOUT_S)

    def go_on(line: str) -> None:
        if line.startswith("waiting"):
            second_waits.set()
        else:
            assert first_ended.is_set()

    def first_run() -> None:
        stores.materialize(on_progress=hold, views=[PAYMENTS])
        first_ended.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(first_run)
        assert first_writes.wait(TIMEOUT_S)
        # As a process of its own would, without the wait for its start.
        last = pool.submit(second.materialize, on_progress=go_on, incremental=True, views=[PAYMENTS])
        first.result(TIMEOUT_S)
        reports = last.result(TIMEOUT_S)

    assert second.lines[0].startswith("waiting for another")
    assert reports[PAYMENTS].written == 0


def test_progress_says_rows_rate_and_remaining_time(stores: OnlineStores) -> None:
    stores.materialize(views=[PAYMENTS])
    assert f"{PAYMENTS}: 30,000 of 30,000 users to write" in stores.lines
    assert any(line.startswith(f"{PAYMENTS}: 30,000 of 30,000 rows, ") for line in stores.lines)


def test_progress_is_told_once_a_second_and_at_the_end() -> None:
    lines: list[str] = []
    now_s = 0.0
    progress = Progress(1_000_000, on_progress=lines.append, clock_s=lambda: now_s)
    for now_s, rows in ((0.5, 10_000), (1.0, 10_000), (1.9, 20_000), (2.0, 40_000), (40.0, 20_000), (40.5, 900_000)):  # noqa: B007
        progress.add(rows)
    assert lines == [
        "20,000 of 1,000,000 rows, 20,000 rows/s, 49 s left",
        "80,000 of 1,000,000 rows, 40,000 rows/s, 23 s left",
        "100,000 of 1,000,000 rows, 2,500 rows/s, 6 min 0 s left",
        "1,000,000 of 1,000,000 rows, 24,691 rows/s",
    ]
