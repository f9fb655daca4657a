"""What full, incremental and windowed runs bring to Redis, on real PostgreSQL and Valkey."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from online_stores import PAYMENTS, SUPPORT, USAGE, VIEWS, OnlineStores
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import open_store
from streamflow_offline.ingest.job import ingest
from streamflow_offline.materialize import newest
from streamflow_offline.materialize.marks import Mark
from streamflow_offline.materialize.newest import NewestRows
from streamflow_offline.materialize.plan import Mode, _why_full
from streamflow_offline.materialize.report import FreshnessError
from streamflow_repo.definitions.entities import user
from streamflow_repo.definitions.views import payments_agg_90d_fv
from training_sets import apply_objects, execute

A, B, C = USERS = ("0001-AAAAA", "0002-BBBBB", "0003-CCCCC")
FAILED_PAYMENTS = f"{PAYMENTS}:failed_payments_90d"
BEGINNING, NEW_YEAR = datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
JANUARY, FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
MARCH = datetime(2024, 3, 31, tzinfo=UTC)

WriteMonth = Callable[..., Path]


@pytest.fixture
def stores(online_stores: OnlineStores) -> OnlineStores:
    """Two months of payments, materialized; B has none in the second."""
    online_stores.put(JANUARY, {A: 10, B: 20, C: 30})
    online_stores.put(FEBRUARY, {A: 11, C: 31})
    online_stores.put_rows_of_other_views(JANUARY, USERS)
    online_stores.materialize()
    return online_stores


def test_redis_has_byte_for_byte_what_feasts_own_materialize_writes(
    online_stores: OnlineStores, write_month: WriteMonth, month_files: dict[str, str], redis_url: str
) -> None:
    write_month("month_000")
    support = "".join(line for line in month_files["support_agg_90d"].splitlines(keepends=True) if A not in line)
    ingest(write_month("month_001", support_agg_90d=support), postgres_url=online_stores.postgres_url)
    feasts = OnlineStores(online_stores.postgres_url, f"{redis_url}/6")
    with feasts.redis() as client:
        client.flushdb()
    with open_store(postgres_url=feasts.postgres_url, redis_url=feasts.redis_url) as store:
        store.materialize(start_date=BEGINNING, end_date=datetime.now(UTC))
    expected = feasts.hashes()
    assert len(expected) == 3

    assert online_stores.written() == dict.fromkeys(VIEWS, 3)

    assert online_stores.hashes() == expected


def test_a_full_run_writes_every_users_newest_row_over_what_is_there(stores: OnlineStores) -> None:
    stores.overwrite_online({A: 77, B: 77, C: 77}, PAYMENTS, "failed_payments_90d")
    assert stores.served(USERS, FAILED_PAYMENTS) == [77, 77, 77]

    report = stores.materialize()[PAYMENTS]

    assert stores.served(USERS, FAILED_PAYMENTS) == [11, 20, 31]
    assert (report.mode, report.written, report.departed, report.fresh) == (Mode.FULL, 3, 0, True)
    assert (report.users, report.users_online) == (3, 3)
    assert report.newest == report.newest_online == FEBRUARY


def test_an_incremental_run_writes_nothing_where_nothing_has_changed(stores: OnlineStores) -> None:
    before = stores.hashes()
    report = stores.materialize(incremental=True)[PAYMENTS]
    assert (report.mode, report.written, report.fresh) == (Mode.INCREMENTAL, 0, True)
    assert stores.hashes() == before


def test_an_incremental_run_brings_a_new_month(stores: OnlineStores) -> None:
    stores.put(MARCH, {A: 12, B: 22})
    assert stores.written(incremental=True)[PAYMENTS] == 2
    assert stores.served(USERS, FAILED_PAYMENTS) == [12, 22, 31]


def test_an_incremental_run_brings_what_was_corrected_in_an_old_month(
    online_stores: OnlineStores, write_month: WriteMonth, month_files: dict[str, str]
) -> None:
    january = month_files["payments_agg_90d"]
    february = january.replace(f"{B},0\n", "")
    ingest(write_month("month_000"), postgres_url=online_stores.postgres_url)
    ingest(write_month("month_001", payments_agg_90d=february), postgres_url=online_stores.postgres_url)
    online_stores.materialize()

    corrected = write_month("month_000", payments_agg_90d=january.replace(",0\n", ",99\n").replace(",1\n", ",99\n"))
    ingest(corrected / "month_000", postgres_url=online_stores.postgres_url)

    # A's newest row is February's, which the correction of January leaves alone.
    assert online_stores.written(incremental=True) == dict.fromkeys(VIEWS, 0) | {PAYMENTS: 1}
    assert online_stores.served(USERS, FAILED_PAYMENTS) == [1, 99, 2]
    started, ended = online_stores.intervals(PAYMENTS)[-1]
    assert started == JANUARY
    assert datetime.now(UTC) - ended < timedelta(minutes=5)


def test_an_incremental_run_goes_back_to_the_month_before_where_the_newest_row_was_removed(
    stores: OnlineStores,
) -> None:
    stores.put(FEBRUARY, {A: None})
    assert stores.written(incremental=True, allow_departed=0.34)[PAYMENTS] == 1
    assert stores.served(USERS, FAILED_PAYMENTS) == [10, 20, 31]


def test_an_incremental_run_removes_a_user_whom_postgres_no_longer_has(stores: OnlineStores) -> None:
    stores.put(JANUARY, {B: None})
    report = stores.materialize(incremental=True, allow_departed=0.34)[PAYMENTS]
    assert (report.departed, report.users, report.users_online) == (1, 2, 2)
    assert stores.served(USERS, FAILED_PAYMENTS) == [11, None, 31]


def test_an_incremental_run_brings_a_user_whom_redis_has_lost(stores: OnlineStores) -> None:
    with stores.redis() as client:
        assert client.delete(next(key for key in stores.hashes() if A.encode() in key)) == 1
    assert stores.written(incremental=True)[PAYMENTS] == 1
    assert stores.served(USERS, FAILED_PAYMENTS) == [11, 20, 31]


def test_an_incremental_run_brings_a_row_whose_day_has_come(stores: OnlineStores) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    stores.put(tomorrow, {A: 55})
    assert stores.materialize(incremental=True)[PAYMENTS].later_rows == 1
    assert stores.served([A], FAILED_PAYMENTS) == [11]

    # As if it were tomorrow: its time of ingestion is that of a row that a run has seen.
    execute(
        stores.postgres_url, f"UPDATE payments_agg_90d_snapshots SET as_of = as_of - 1 WHERE as_of = '{tomorrow:%F}'"
    )
    stores.put(MARCH, {B: 22})
    assert stores.written(incremental=True)[PAYMENTS] == 2
    assert stores.served(USERS, FAILED_PAYMENTS) == [55, 22, 31]


def test_an_incremental_run_of_one_view_leaves_the_others_for_the_next(
    online_stores: OnlineStores, write_month: WriteMonth
) -> None:
    ingest(write_month("month_000"), postgres_url=online_stores.postgres_url)
    online_stores.materialize()
    ingest(write_month("month_001"), postgres_url=online_stores.postgres_url)
    assert online_stores.written(incremental=True, views=[SUPPORT]) == {SUPPORT: 3}
    assert online_stores.written(incremental=True) == dict.fromkeys(VIEWS, 3) | {SUPPORT: 0}


def test_an_incremental_run_into_an_emptied_redis_is_full(stores: OnlineStores) -> None:
    with stores.redis() as client:
        client.flushdb()
    report = stores.materialize(incremental=True)[PAYMENTS]
    assert (report.mode, report.written, report.start) == (Mode.FULL, 3, BEGINNING)
    assert f"{PAYMENTS} is written in full: Redis has no mark of an earlier run" in stores.lines


def test_an_incremental_run_of_a_changed_definition_is_full(stores: OnlineStores) -> None:
    renamed = copy.copy(payments_agg_90d_fv)
    table = "ALTER TABLE payments_agg_90d_snapshots"
    execute(stores.postgres_url, f"{table} ADD COLUMN late_payments INT DEFAULT 4")
    field = renamed.features[0].__class__(name="late_payments", dtype=renamed.features[0].dtype)
    renamed.features = [*renamed.features, field]
    apply_objects(stores.postgres_url, [user, renamed])

    assert stores.written(incremental=True)[PAYMENTS] == 3

    assert any("its definition or its database is another" in line for line in stores.lines)
    assert stores.served(USERS, f"{PAYMENTS}:late_payments") == [4, 4, 4]


MARK = Mark(ingested_until=FEBRUARY, origin="this")


@pytest.mark.parametrize(
    ("known", "now", "why"),
    [
        (None, MARK, "no mark"),
        (MARK, MARK, None),
        (MARK, Mark(ingested_until=MARCH, origin="this"), None),
        (MARK, Mark(ingested_until=MARCH, origin="another database"), "database is another"),
        (MARK, Mark(ingested_until=JANUARY, origin="this"), "no longer has the newest rows"),
        (MARK, None, "no longer has the newest rows"),
    ],
)
def test_a_mark_is_gone_on_from_only_where_it_says_what_redis_has(
    known: Mark | None, now: Mark | None, why: str | None
) -> None:
    found = _why_full(known, now)
    assert found is None if why is None else found is not None and why in found


def test_an_incremental_run_is_refused_where_the_source_does_not_say_when_rows_were_written(
    stores: OnlineStores,
) -> None:
    source = PostgreSQLSource(name="undated", table="payments_agg_90d_snapshots", timestamp_field="as_of")
    undated = copy.copy(payments_agg_90d_fv)
    undated.batch_source = source
    apply_objects(stores.postgres_url, [user, source, undated])
    with pytest.raises(JobError, match=rf"{PAYMENTS}'s source has no created_timestamp_column"):
        stores.materialize(incremental=True)
    assert stores.written()[PAYMENTS] == 3


def test_a_window_writes_the_users_whose_newest_row_is_in_it(stores: OnlineStores) -> None:
    stores.put(JANUARY, {A: 99, B: 99, C: 99})

    report = stores.materialize(start=NEW_YEAR, end=JANUARY)[PAYMENTS]

    assert (report.mode, report.written) == (Mode.WINDOW, 1)
    assert stores.served(USERS, FAILED_PAYMENTS) == [11, 99, 31], "no older value over a newer one"
    assert stores.intervals(PAYMENTS)[-1] == (NEW_YEAR, JANUARY)


def test_a_window_does_not_keep_an_incremental_run_from_what_lies_outside(stores: OnlineStores) -> None:
    stores.put(FEBRUARY, {A: 98})
    stores.put(JANUARY, {B: 99})
    assert stores.written(start=NEW_YEAR, end=JANUARY)[PAYMENTS] == 1
    assert stores.written(incremental=True)[PAYMENTS] == 2
    assert stores.served(USERS, FAILED_PAYMENTS) == [98, 99, 31]


def test_a_window_that_leaves_redis_without_rows_ends_in_an_error(online_stores: OnlineStores) -> None:
    online_stores.put(JANUARY, {A: 10, B: 20, C: 30})
    online_stores.put(FEBRUARY, {A: 11, C: 31})
    with pytest.raises(FreshnessError, match=r"2 are missing in Redis.* run `offline materialize`") as failure:
        online_stores.materialize(start=JANUARY, end=JANUARY, views=[PAYMENTS])
    [report] = failure.value.reports
    assert (report.users, report.users_online, report.missing) == (3, 1, 2)
    assert (report.newest, report.newest_online) == (FEBRUARY, JANUARY)
    assert online_stores.served(USERS, FAILED_PAYMENTS) == [None, 20, None]


def test_an_end_that_leaves_rows_out_is_refused_before_anything_is_written(stores: OnlineStores) -> None:
    stores.put(JANUARY, {B: 99})
    with pytest.raises(JobError, match=rf"{PAYMENTS} has 2 users with rows after 2024-01-31T00:00:00\+00:00"):
        stores.materialize(end=JANUARY)
    assert stores.served(USERS, FAILED_PAYMENTS) == [11, 20, 31]
    assert stores.written(end=FEBRUARY)[PAYMENTS] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"incremental": True, "start": JANUARY}, "leave --incremental out, or --start and --end"),
        ({"incremental": True, "end": JANUARY}, "leave --incremental out, or --start and --end"),
        ({"start": FEBRUARY, "end": JANUARY}, "ends before its start"),
        ({"start": datetime(9999, 1, 1, tzinfo=UTC)}, "ends before its start"),
        ({"end": datetime(9999, 1, 1, tzinfo=UTC)}, "is in the future"),
        ({"start": JANUARY.replace(tzinfo=None)}, "has no time zone"),
        ({"views": ["payments_fv", PAYMENTS]}, f"no feature view payments_fv; there are {', '.join(VIEWS)}"),
    ],
)
def test_options_that_cannot_be_are_refused(online_stores: OnlineStores, options: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        online_stores.materialize(**options)


def test_a_database_without_definitions_is_refused(postgres_url: str, redis_url: str) -> None:
    with pytest.raises(JobError, match="run `offline apply` first"):
        OnlineStores(postgres_url, f"{redis_url}/5").materialize()


def test_views_are_chosen_by_name(online_stores: OnlineStores, write_month: WriteMonth) -> None:
    ingest(write_month("month_000"), postgres_url=online_stores.postgres_url)
    assert online_stores.written(views=[USAGE, PAYMENTS, USAGE]) == {PAYMENTS: 3, USAGE: 3}
    assert online_stores.served([A], f"{SUPPORT}:support_tickets_90d") == [None]


def test_a_full_run_is_recorded_in_feasts_registry(online_stores: OnlineStores, write_month: WriteMonth) -> None:
    ingest(write_month("month_000"), postgres_url=online_stores.postgres_url)
    before = datetime.now(UTC)
    online_stores.materialize()
    for view in VIEWS:
        [(started, ended)] = online_stores.intervals(view)
        assert started == BEGINNING
        assert before <= ended <= datetime.now(UTC)


@pytest.mark.parametrize("column_type", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
def test_event_timestamps_are_in_utc_whatever_the_databases_time_zone(
    online_stores: OnlineStores, column_type: str
) -> None:
    online_stores.put(JANUARY, {A: 10, B: 20, C: 30})
    execute(
        online_stores.postgres_url,
        f"SET TimeZone TO 'UTC'; ALTER TABLE payments_agg_90d_snapshots ALTER as_of TYPE {column_type}",
        "DO $$ BEGIN EXECUTE"
        " format('ALTER DATABASE %I SET TimeZone TO ''Pacific/Kiritimati''', current_database()); END $$",
    )
    report = online_stores.materialize(start=JANUARY, end=JANUARY, views=[PAYMENTS])[PAYMENTS]
    assert (report.written, report.newest, report.newest_online) == (3, JANUARY, JANUARY)


def test_all_views_are_read_from_one_state_of_postgres(
    online_stores: OnlineStores, write_month: WriteMonth, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(write_month("month_000"), postgres_url=online_stores.postgres_url)
    ingested: list[Any] = []
    take = newest._take

    def load_after_the_first(*arguments: Any, **options: Any) -> NewestRows:
        taken = take(*arguments, **options)
        if not ingested:
            ingested.append(ingest(write_month("month_001"), postgres_url=online_stores.postgres_url))
        return taken

    monkeypatch.setattr(newest, "_take", load_after_the_first)

    assert {report.newest for report in online_stores.materialize().values()} == {JANUARY}
    assert {report.newest for report in online_stores.materialize(incremental=True).values()} == {FEBRUARY}


def test_what_is_loaded_during_a_run_is_left_for_the_next(stores: OnlineStores) -> None:
    stores.put(MARCH, {A: 12})

    def load_another(line: str) -> None:
        if "users to write" in line and PAYMENTS in line:
            stores.put(MARCH, {A: 77, B: 77, C: 77})

    assert stores.materialize(on_progress=load_another)[PAYMENTS].fresh
    assert stores.served(USERS, FAILED_PAYMENTS) == [12, 20, 31]
    assert stores.written(incremental=True)[PAYMENTS] == 3
    assert stores.served(USERS, FAILED_PAYMENTS) == [77, 77, 77]
