"""What would take many users' rows away from Redis is refused before anything is written or deleted."""

import inspect
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast.protos.feast.core.Project_pb2 import Project
from online_stores import PAYMENTS, SUPPORT, VIEWS, OnlineStores
from streamflow_local.testing import copied_database
from streamflow_offline import cli
from streamflow_offline.errors import JobError
from streamflow_offline.materialize.command import materialize as command
from streamflow_offline.materialize.losses import DEFAULT_ALLOWED_SHARE, Losses, refuse_losses
from streamflow_offline.materialize.plan import Mode
from streamflow_offline.materialize.report import FreshnessError
from training_sets import execute

A, B, C = USERS = ("0001-AAAAA", "0002-BBBBB", "0003-CCCCC")
FAILED_PAYMENTS = f"{PAYMENTS}:failed_payments_90d"
JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
MARCH = datetime(2024, 3, 31, tzinfo=UTC)
MODES: list[dict[str, Any]] = [{}, {"incremental": True}, {"start": JANUARY}, {"as_of": MARCH}]
MODE_IDS = ["full", "incremental", "window", "as of"]


@pytest.fixture
def stores(online_stores: OnlineStores) -> OnlineStores:
    """Two months of payments, materialized; B has none in the second."""
    fill(online_stores)
    online_stores.materialize()
    return online_stores


def fill(stores: OnlineStores) -> None:
    stores.put(JANUARY, {A: 10, B: 20, C: 30})
    stores.put(FEBRUARY, {A: 11, C: 31})
    stores.put_rows_of_other_views(JANUARY, USERS)


@pytest.fixture
def another(stores: OnlineStores, postgres_socket_dir: Path, applied_template: str) -> Iterator[OnlineStores]:
    """A database of its own, with the same users, that has the same Redis."""
    with copied_database(postgres_socket_dir, "another", template=applied_template) as url:
        with psycopg.connect(url) as connection:
            ((stored,),) = connection.execute("SELECT project_proto FROM feast.projects").fetchall()
            project = Project.FromString(stored)
            project.meta.created_timestamp.seconds += 1
            connection.execute("UPDATE feast.projects SET project_proto = %s", (project.SerializeToString(),))
        yield OnlineStores(url, stores.redis_url)


def refused(stores: OnlineStores, message: str, **options: Any) -> None:
    """Check that a run is refused, and that everything in Redis stays as it is."""
    with stores.redis() as client:
        before = {key: client.dump(key) for key in client.scan_iter()}
        with pytest.raises(JobError, match=message) as failure:
            stores.materialize(**options)
        assert not isinstance(failure.value, FreshnessError)
        assert "Nothing was written or deleted" in str(failure.value)
        assert {key: client.dump(key) for key in client.scan_iter()} == before


@pytest.mark.parametrize("options", MODES, ids=MODE_IDS)
@pytest.mark.parametrize("allowed", [DEFAULT_ALLOWED_SHARE, 1.0])
def test_an_empty_source_is_refused_whatever_share_may_depart(
    stores: OnlineStores, options: dict[str, Any], allowed: float
) -> None:
    execute(stores.postgres_url, "TRUNCATE payments_agg_90d_snapshots")
    refused(stores, rf"PostgreSQL has no rows up to .* UTC of {PAYMENTS}\.", allow_departed=allowed, **options)
    assert stores.served(USERS, FAILED_PAYMENTS) == [11, 20, 31]


def test_an_empty_source_is_refused_with_an_empty_redis_too(online_stores: OnlineStores) -> None:
    refused(online_stores, f"of {', '.join(VIEWS)}")


def test_rows_dated_later_do_not_fill_a_source_and_are_counted(online_stores: OnlineStores) -> None:
    online_stores.put(datetime(9999, 1, 1, tzinfo=UTC), {A: 1, B: 2})
    refused(online_stores, rf"of {PAYMENTS} \(2 later\)", views=[PAYMENTS])


def test_the_other_views_can_be_materialized_alone(stores: OnlineStores) -> None:
    execute(stores.postgres_url, "TRUNCATE payments_agg_90d_snapshots")
    assert stores.written(views=[SUPPORT]) == {SUPPORT: 3}
    assert stores.served(USERS, FAILED_PAYMENTS) == [11, 20, 31]


@pytest.mark.parametrize("options", MODES, ids=MODE_IDS)
def test_more_departed_users_than_the_share_are_refused_with_counts_and_advice(
    stores: OnlineStores, options: dict[str, Any]
) -> None:
    execute(stores.postgres_url, f"DELETE FROM payments_agg_90d_snapshots WHERE user_id = '{B}'")
    refused(
        stores,
        f"{PAYMENTS}: of 3 users in Redis, 1 would be deleted and 0 would go back to an older row, .*: up to "
        r"33.3% of a view's users, and 5.0% are allowed\..* run `offline materialize --allow-departed 0.334`",
        **options,
    )
    report = stores.materialize(allow_departed=0.334, **options)[PAYMENTS]
    assert (report.departed, report.users_online) == (1, 2)
    assert stores.served(USERS, FAILED_PAYMENTS) == [11, None, 31]


@pytest.mark.parametrize("options", MODES[:3], ids=MODE_IDS[:3])
def test_more_users_going_back_than_the_share_are_refused(stores: OnlineStores, options: dict[str, Any]) -> None:
    execute(stores.postgres_url, "DELETE FROM payments_agg_90d_snapshots WHERE as_of = '2024-02-29'")
    refused(stores, "of 3 users in Redis, 0 would be deleted and 2 would go back to an older row", **options)
    report = stores.materialize(allow_departed=0.667, **options)[PAYMENTS]
    assert (report.fresh, report.newest_online) == (True, JANUARY)
    assert stores.served(USERS, FAILED_PAYMENTS) == [10, 20, 30]


def test_all_users_may_depart_where_others_come(stores: OnlineStores) -> None:
    execute(stores.postgres_url, "UPDATE payments_agg_90d_snapshots SET user_id = 'new-' || user_id")
    refused(stores, r"up to 100\.0% of a view's users", allow_departed=0.99)
    assert stores.materialize(allow_departed=1)[PAYMENTS].departed == 3


@pytest.mark.parametrize(
    ("departed", "going_back", "allowed", "may"),
    [(5, 0, 0.05, True), (6, 0, 0.05, False), (3, 3, 0.05, False), (1, 0, 0, False), (100, 0, 1, True)],
)
def test_a_share_is_of_the_views_users_in_redis(departed: int, going_back: int, allowed: float, *, may: bool) -> None:
    losses = [Losses(view="view", online=100, departed=departed, going_back=going_back)]
    if may:
        refuse_losses(losses, allowed=allowed)
    else:
        with pytest.raises(JobError):
            refuse_losses(losses, allowed=allowed)


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(stores: OnlineStores, share: float) -> None:
    with pytest.raises(JobError, match="give a share from 0 to 1"):
        stores.materialize(allow_departed=share)


def test_a_redis_that_another_database_filled_is_refused(stores: OnlineStores, another: OnlineStores) -> None:
    fill(another)
    refused(
        another, "has the users of another database, applied_.*; POSTGRES_URL names another at .*`.* --take-over`",
        allow_departed=1,
    )  # fmt: skip
    another.put(JANUARY, {A: None})
    another.put(FEBRUARY, {A: None})
    refused(another, "1 would be deleted", take_over=True)
    assert another.materialize(take_over=True, allow_departed=0.4)[PAYMENTS].departed == 1
    assert another.materialize(incremental=True)[PAYMENTS].mode is Mode.INCREMENTAL
    refused(stores, "has the users of another database, another at ")


def test_a_redis_without_a_mark_of_its_database_gets_one_and_keeps_its_users(
    stores: OnlineStores, another: OnlineStores
) -> None:
    """As an earlier version filled it."""
    with stores.redis() as client:
        assert client.delete("materialized:streamflow:database") == 1
    another.put(JANUARY, {"0004-DDDDD": 1})
    another.put_rows_of_other_views(JANUARY, USERS)
    refused(another, "of 3 users in Redis, 3 would be deleted")
    assert stores.materialize(incremental=True)[PAYMENTS].mode is Mode.INCREMENTAL
    refused(another, "has the users of another database")


def test_going_back_on_purpose_serves_the_rows_of_that_time_until_the_next_run(stores: OnlineStores) -> None:
    stores.put(JANUARY, {A: 99})

    report = stores.materialize(as_of=JANUARY)[PAYMENTS]

    assert (report.mode, report.written, report.later_rows, report.fresh) == (Mode.AS_OF, 3, 2, True)
    assert report.newest == report.newest_online == JANUARY
    assert stores.served(USERS, FAILED_PAYMENTS) == [99, 20, 30]
    assert stores.written(incremental=True)[PAYMENTS] == 2
    assert stores.served(USERS, FAILED_PAYMENTS) == [11, 20, 31]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"incremental": True}, "--as-of stands alone"),
        ({"start": JANUARY}, "--as-of stands alone"),
        ({"end": JANUARY}, "--as-of stands alone"),
        ({"as_of": datetime(9999, 1, 1, tzinfo=UTC)}, "is in the future"),
        ({"as_of": JANUARY.replace(tzinfo=None)}, "has no time zone"),
    ],
)
def test_going_back_takes_no_other_window(stores: OnlineStores, options: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        stores.materialize(**{"as_of": JANUARY} | options)


def test_the_command_exits_with_1_and_goes_back(stores: OnlineStores, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> Any:
        monkeypatch.setenv("POSTGRES_URL", stores.postgres_url)
        monkeypatch.setenv("REDIS_URL", stores.redis_url)
        monkeypatch.setattr(sys, "argv", ["offline", "materialize", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    execute(stores.postgres_url, f"DELETE FROM payments_agg_90d_snapshots WHERE user_id = '{B}'")
    assert str(run()).startswith(f"error: {PAYMENTS}: of 3 users in Redis, 1 would be deleted")
    assert not run("--allow-departed", "0.4", "--as-of", "2024-01-31")
    assert stores.served(USERS, FAILED_PAYMENTS) == [10, None, 30]


def test_the_commands_share_is_the_jobs() -> None:
    assert inspect.signature(command).parameters["allow_departed"].default == DEFAULT_ALLOWED_SHARE
