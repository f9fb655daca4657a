"""The comparison of Redis with PostgreSQL after a run: what it finds, how it reports, and what it leaves alone."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from google.protobuf.timestamp_pb2 import Timestamp
from online_stores import PAYMENTS, VIEWS, OnlineStores
from streamflow_offline import cli
from streamflow_offline.errors import JobError
from streamflow_offline.materialize.report import FreshnessError
from streamflow_offline.user_keys import UserKeys
from training_sets import execute

A, B, C = USERS = ("0001-AAAAA", "0002-BBBBB", "0003-CCCCC")
JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
KEYS = UserKeys(project="streamflow", join_key="user_id")
TIME_FIELD = f"_ts:{PAYMENTS}"

Interference = Callable[[redis.Redis], object]


@pytest.fixture
def stores(online_stores: OnlineStores) -> OnlineStores:
    """Two months of payments that are not materialized yet; B has none in the second."""
    online_stores.put(JANUARY, {A: 10, B: 20, C: 30})
    online_stores.put(FEBRUARY, {A: 11, C: 31})
    online_stores.put_rows_of_other_views(JANUARY, ["0004-DDDDD"])
    return online_stores


def dated(user_id: str, moment: datetime) -> Interference:
    """Return what gives a user another event timestamp."""
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return lambda client: client.hset(
        KEYS.key(user_id),  # type: ignore[arg-type]  # its annotation forgets that keys are bytes
        TIME_FIELD,
        timestamp.SerializeToString(),  # type: ignore[arg-type]  # and values
    )


@pytest.mark.parametrize(
    ("interference", "differing", "newest_online"),
    [
        (lambda client: client.delete(KEYS.key(A)), (1, 0, 0), FEBRUARY),
        (lambda client: client.hdel(KEYS.key(C), TIME_FIELD), (1, 0, 0), FEBRUARY),
        (lambda client: client.flushdb(), (3, 0, 0), None),
        (dated(A, JANUARY), (0, 1, 0), FEBRUARY),
        (dated(B, datetime(2024, 1, 30, 23, 59, 59, 999999, tzinfo=UTC)), (0, 1, 0), FEBRUARY),
        (dated(B, datetime(2024, 3, 31, tzinfo=UTC)), (0, 0, 1), datetime(2024, 3, 31, tzinfo=UTC)),
    ],
    ids=["a user lost", "a view of a user lost", "all lost", "an older row", "older by a microsecond", "a newer row"],
)
def test_what_redis_has_otherwise_after_the_write_is_an_error(
    stores: OnlineStores,
    interference: Interference,
    differing: tuple[int, int, int],
    newest_online: datetime | None,
) -> None:
    def interfere(line: str) -> None:
        if line.startswith("comparing"):
            with stores.redis() as client:
                interference(client)

    with pytest.raises(FreshnessError, match="something else wrote to or removed from this Redis") as failure:
        stores.materialize(on_progress=interfere)

    reports = {report.view: report for report in failure.value.reports}
    found = reports[PAYMENTS]
    assert (found.missing, found.older, found.newer) == differing
    assert (found.users, found.users_online, found.newest) == (3, 3 - found.missing, FEBRUARY)
    assert found.newest_online == newest_online
    assert {view for view, report in reports.items() if not report.fresh} == (
        {PAYMENTS} if newest_online else set(VIEWS)
    )

    assert all(report.fresh for report in stores.materialize(allow_departed=0.34).values())


def test_departed_users_alone_are_removed(stores: OnlineStores) -> None:
    stores.materialize()
    others = {
        b"materialized:elsewhere": {b"x": b"1"},
        # Ends in the project, as does another project's user.
        UserKeys(project="other-streamflow", join_key="user_id").key(B): {TIME_FIELD.encode(): b"1"},
        UserKeys(project="streamflow", join_key="account_id").key(B): {TIME_FIELD.encode(): b"1"},
        KEYS.key(B)[:-11] + b"\xff" + KEYS.key(B)[-10:]: {TIME_FIELD.encode(): b"1"},
    }
    with stores.redis() as client:
        client.hset(KEYS.key(B), "of another", "1")
        for key, fields in others.items():
            client.hset(key, mapping=fields)
        execute(stores.postgres_url, f"DELETE FROM payments_agg_90d_snapshots WHERE user_id = '{B}'")

        reports = stores.materialize(allow_departed=0.34)
        assert {view: report.departed for view, report in reports.items()} == dict.fromkeys(VIEWS, 0) | {PAYMENTS: 1}

        assert client.hgetall(KEYS.key(B)) == {b"of another": b"1"}
        for key, fields in others.items():
            assert client.hgetall(key) == fields
    assert stores.materialize()[PAYMENTS].departed == 0


@pytest.mark.parametrize("user_id", ["0001-AAAAA", "", "naïve 名", "*?[a-z]\\", "streamflow", "a" * 300])
def test_a_users_key_is_feasts_and_leads_back_to_the_user(online_stores: OnlineStores, user_id: str) -> None:
    online_stores.put(JANUARY, {user_id: 1})
    online_stores.materialize(views=[PAYMENTS])
    [key] = online_stores.hashes()
    assert KEYS.key(user_id) == key
    assert KEYS.user_id(key) == user_id
    with online_stores.redis() as client:
        assert list(KEYS.scan(client)) == [(user_id, key)]


def test_users_are_found_by_keys_of_any_bytes(online_stores: OnlineStores) -> None:
    # The length of this join key is a "[" to Redis.
    keys = UserKeys(project="streamflow[2]*", join_key="k" * ord("["))
    with online_stores.redis() as client:
        client.set(keys.key(A), 1)
        assert list(keys.scan(client)) == [(A, keys.key(A))]


def test_users_of_every_project_are_found_without_a_project(online_stores: OnlineStores) -> None:
    keys = UserKeys(join_key="user_id")
    projects = [UserKeys(project=project, join_key="user_id") for project in ("streamflow", "other")]
    with online_stores.redis() as client:
        client.set(projects[0].key(A), 1)
        client.set(projects[1].key(B), 1)
        assert dict(keys.scan(client)) == {A: projects[0].key(A), B: projects[1].key(B)}
    with pytest.raises(ValueError, match="ends in the project"):
        keys.key(A)


def test_a_key_that_is_cut_short_is_no_users() -> None:
    key = KEYS.key(A)
    assert [length for length in range(len(key)) if KEYS.user_id(key[:length]) is not None] == []
    assert [length for length in range(len(key)) if UserKeys(join_key="user_id").user_id(key[:length]) is not None] == [
        *range(len(key) - len("streamflow"), len(key))
    ]


def run_cli(patch: pytest.MonkeyPatch, stores: OnlineStores, *arguments: str) -> None:
    patch.setenv("POSTGRES_URL", stores.postgres_url)
    patch.setenv("REDIS_URL", stores.redis_url)
    patch.setattr(sys, "argv", ["offline", "materialize", *arguments])
    cli.main()


def test_the_command_shows_the_comparison_and_writes_it_as_json(
    stores: OnlineStores, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    with pytest.raises(SystemExit) as ended:
        run_cli(monkeypatch, stores, "--json", str(file))
    assert not ended.value.code
    row = next(line for line in capsys.readouterr().out.splitlines() if PAYMENTS in line)
    # Users, event timestamps, rows written, departed users, later rows.
    assert row.split() == [PAYMENTS, "3", "3", *("2024-02-29", "00:00:00") * 2, "3", "0", "0", "yes"]
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["fresh"] is True
    assert [view["view"] for view in report["views"]] == list(VIEWS)
    payments = report["views"][0]
    assert payments["mode"] == "full"
    assert payments["written"] == payments["users_online"] == 3
    assert payments["newest"] == payments["newest_online"] == "2024-02-29T00:00:00+00:00"


def test_the_command_shows_what_differs_and_exits_with_1(
    stores: OnlineStores, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    window = ("--start", "2024-01-01", "--end", "2024-01-31T00:00:00")
    with pytest.raises(SystemExit) as ended:
        run_cli(monkeypatch, stores, *window, "--view", PAYMENTS, "--json", str(file))
    assert str(ended.value.code) == (
        f"error: of {PAYMENTS}'s 3 users, 2 are missing in Redis, 0 have an older row and 0 a newer one: "
        "the window leaves rows out that Redis lacks; run `offline materialize`"
    )
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.strip().endswith("no")]
    assert row.split()[:3] == [PAYMENTS, "3", "1"]
    report = json.loads(file.read_text(encoding="utf-8"))
    assert (report["fresh"], report["views"][0]["missing"]) == (False, 2)


def test_a_report_that_could_not_be_written_is_refused_at_once(
    stores: OnlineStores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_cli(monkeypatch, stores, "--json", str(tmp_path / "nowhere" / "report.json"))
    assert f"there is no folder {tmp_path / 'nowhere'}" in str(ended.value.code)
    assert stores.hashes() == {}


def test_a_store_that_fails_is_named(stores: OnlineStores) -> None:
    without_redis = OnlineStores(stores.postgres_url, "redis://127.0.0.1:1/0")
    with pytest.raises(JobError, match=r"Redis failed: .*check REDIS_URL"):
        without_redis.materialize()
    without_postgres = OnlineStores("postgresql://user@127.0.0.1:1/db", stores.redis_url)
    with pytest.raises(JobError, match="PostgreSQL can't be reached"):
        without_postgres.materialize()


def test_a_value_that_its_feature_cannot_hold_is_named(stores: OnlineStores) -> None:
    execute(
        stores.postgres_url,
        "ALTER TABLE payments_agg_90d_snapshots ALTER failed_payments_90d TYPE text USING 'many'",
    )
    with pytest.raises(JobError, match=rf"writing {PAYMENTS} failed: .*many"):
        stores.materialize(views=[PAYMENTS])
