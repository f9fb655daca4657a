"""Months in PostgreSQL: what is written, what is left alone, and what happens when it can't be done."""

import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from streamflow_offline.errors import JobError
from streamflow_offline.ingest.job import ingest
from streamflow_offline.ingest.load import MonthReport, TableReport
from streamflow_offline.ingest.schema import create_tables, lock_ingest
from streamflow_repo.errors import ConnectionUrlError

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)
LIVE_TABLES = ("users", "subscriptions", "usage_agg_30d", "payments_agg_90d", "support_agg_90d", "labels")
SNAPSHOT_TABLES = (
    "subscriptions_profile_snapshots",
    "usage_agg_30d_snapshots",
    "payments_agg_90d_snapshots",
    "support_agg_90d_snapshots",
    "labels_snapshots",
)
TIMEOUT_S = 20

WriteMonth = Callable[..., Path]


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, its time of ingestion included."""
    with psycopg.connect(url) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY user_id, as_of".encode()).fetchall()
            for table in LIVE_TABLES + SNAPSHOT_TABLES
        }


def without(content: str, user: str) -> str:
    """Return a file without a user's row."""
    return "".join(line for line in content.splitlines(keepends=True) if not line.startswith(user))


def without_user(files: dict[str, str], user: str) -> dict[str, str]:
    return {table: without(content, user) for table, content in files.items()}


def counts(report: MonthReport) -> set[tuple[int, int, int, int, int]]:
    """Return what happened to rows, inserted, updated, removed, unchanged; of all tables, if it was the same to all."""
    return {(table.rows, table.inserted, table.updated, table.removed, table.unchanged) for table in report.tables}


def test_months_become_snapshots_and_the_newest_is_live(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    write_month("month_000")
    months = write_month("month_001", labels=month_files["labels"].replace("True", "False"))

    january, february = ingest(months, postgres_url=postgres_url)

    assert (january.as_of, february.as_of) == (JANUARY, FEBRUARY)
    assert [table.name for table in january.tables] == list(SNAPSHOT_TABLES)
    assert counts(january) == counts(february) == {(3, 3, 0, 0, 0)}
    assert query(postgres_url, "SELECT as_of, count(*) FROM subscriptions_profile_snapshots GROUP BY 1 ORDER BY 1") == [
        (JANUARY, 3),
        (FEBRUARY, 3),
    ]
    assert query(postgres_url, "SELECT as_of, churn_label FROM labels_snapshots WHERE user_id = '0002-BBBBB'") == [
        (JANUARY, True),
        (FEBRUARY, False),
    ]
    for table in LIVE_TABLES:
        assert query(postgres_url, f"SELECT DISTINCT as_of, count(*) OVER () FROM {table}") == [(FEBRUARY, 3)]


def test_one_month_folder_is_loaded_by_its_own_path(write_month: WriteMonth, postgres_url: str) -> None:
    write_month("month_000")
    months = write_month("month_001")

    [report] = ingest(months / "month_001", postgres_url=postgres_url)

    assert report.as_of == FEBRUARY


def test_null_stays_null(write_month: WriteMonth, postgres_url: str) -> None:
    ingest(write_month(), postgres_url=postgres_url)

    streaming = "plan_stream_tv, plan_stream_movies"
    for table in ("subscriptions", "subscriptions_profile_snapshots"):
        assert query(postgres_url, f"SELECT {streaming} FROM {table} ORDER BY user_id") == [
            (False, True),
            (True, False),
            (None, None),
        ]
    add_ons = "add_on_security, add_on_backup, add_on_device_protect, add_on_support"
    assert query(postgres_url, f"SELECT DISTINCT {add_ons} FROM subscriptions") == [(None,) * 4]


def test_a_month_loaded_again_changes_nothing(write_month: WriteMonth, postgres_url: str) -> None:
    write_month("month_000")
    months = write_month("month_001")
    ingest(months, postgres_url=postgres_url)
    before = contents(postgres_url)

    reports = ingest(months, postgres_url=postgres_url)

    assert [counts(report) for report in reports] == [{(3, 0, 0, 0, 3)}] * 2
    assert contents(postgres_url) == before


def test_a_number_written_otherwise_is_no_change(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    ingest(write_month(), postgres_url=postgres_url)

    months = write_month(support_agg_90d=month_files["support_agg_90d"].replace("9.6", "9.60"))
    [report] = ingest(months, postgres_url=postgres_url)

    assert counts(report) == {(3, 0, 0, 0, 3)}


def test_a_corrected_month_replaces_its_snapshot(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    ingest(write_month(), postgres_url=postgres_url)
    before = contents(postgres_url)

    payments = without(month_files["payments_agg_90d"], "0003-CCCCC").replace("BBBBB,0", "BBBBB,5")
    users = month_files["users"] + "0004-DDDDD,,,,,\n"
    months = write_month(users=users, payments_agg_90d=payments + "0004-DDDDD,\n")
    [report] = ingest(months, postgres_url=postgres_url)

    assert (
        TableReport(name="payments_agg_90d_snapshots", rows=3, inserted=1, updated=1, removed=1, unchanged=1)
        in report.tables
    )
    after = contents(postgres_url)
    for table in ("payments_agg_90d_snapshots", "payments_agg_90d"):
        assert [(row[0], row[1]) for row in after[table]] == [
            ("0001-AAAAA", 1),
            ("0002-BBBBB", 5),
            ("0004-DDDDD", None),
        ]
        assert after[table][0] == before[table][0]
        assert after[table][1][-1] > before[table][1][-1], "a changed row has a new time of ingestion"
    assert after["users"][:3] == before["users"]
    assert after["users"][3][:6] == ("0004-DDDDD", None, None, None, None, None)
    assert after["labels_snapshots"] == before["labels_snapshots"]


def test_a_change_to_or_from_null_is_a_change(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    ingest(write_month(), postgres_url=postgres_url)

    subscriptions = month_files["subscriptions"].replace("0,,,", "0,False,,").replace("1,False,True", "1,,True")
    [report] = ingest(write_month(subscriptions=subscriptions), postgres_url=postgres_url)

    assert report.tables[0].updated == 2
    assert query(postgres_url, "SELECT plan_stream_tv FROM subscriptions_profile_snapshots ORDER BY user_id") == [
        (None,),
        (True,),
        (False,),
    ]


def test_a_column_that_snapshots_leave_out_changes_the_live_row_alone(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    ingest(write_month(), postgres_url=postgres_url)

    months = write_month(subscriptions=month_files["subscriptions"].replace("1889.5", "1946.45"))
    [report] = ingest(months, postgres_url=postgres_url)

    assert counts(report) == {(3, 0, 0, 0, 3)}
    assert query(postgres_url, "SELECT total_paid::text FROM subscriptions WHERE user_id = '0002-BBBBB'") == [
        ("1946.45",)
    ]


def test_a_user_whom_a_corrected_month_no_longer_has_is_removed(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    ingest(write_month(), postgres_url=postgres_url)

    [report] = ingest(write_month(**without_user(month_files, "0002-BBBBB")), postgres_url=postgres_url)

    assert counts(report) == {(2, 0, 0, 1, 2)}
    for table, rows in contents(postgres_url).items():
        assert [row[0] for row in rows] == ["0001-AAAAA", "0003-CCCCC"], table


def test_a_removed_user_goes_with_the_rows_of_months_before(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    write_month("month_000")
    months = write_month("month_001", labels=without(month_files["labels"], "0002-BBBBB"))
    ingest(months, postgres_url=postgres_url)
    assert query(postgres_url, "SELECT as_of FROM labels WHERE user_id = '0002-BBBBB'") == [(JANUARY,)]

    write_month("month_001", **without_user(month_files, "0002-BBBBB"))
    ingest(months / "month_001", postgres_url=postgres_url)

    for table in LIVE_TABLES:
        assert query(postgres_url, f"SELECT user_id FROM {table} WHERE user_id = '0002-BBBBB'") == []
    for table in SNAPSHOT_TABLES:
        assert query(postgres_url, f"SELECT as_of FROM {table} WHERE user_id = '0002-BBBBB'") == [(JANUARY,)]

    january, february = ingest(months, postgres_url=postgres_url)

    assert counts(january) == {(3, 0, 0, 0, 3)}
    assert counts(february) == {(2, 0, 0, 0, 2)}
    for table in LIVE_TABLES:
        assert query(postgres_url, f"SELECT as_of FROM {table} WHERE user_id = '0002-BBBBB'") == [(JANUARY,)], (
            "loading all months again brings back the last row from before"
        )


def test_a_user_who_left_keeps_the_last_live_row(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    write_month("month_000")
    months = write_month("month_001", **without_user(month_files, "0002-BBBBB"))

    ingest(months, postgres_url=postgres_url)

    for table in LIVE_TABLES:
        assert query(postgres_url, f"SELECT user_id, as_of FROM {table} ORDER BY 1") == [
            ("0001-AAAAA", FEBRUARY),
            ("0002-BBBBB", JANUARY),
            ("0003-CCCCC", FEBRUARY),
        ]


def test_an_older_month_loaded_again_leaves_newer_live_rows(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    write_month("month_000")
    months = write_month("month_001", **without_user(month_files, "0003-CCCCC"))
    ingest(months, postgres_url=postgres_url)
    before = contents(postgres_url)

    write_month(
        "month_000",
        payments_agg_90d=month_files["payments_agg_90d"].replace("BBBBB,0", "BBBBB,9").replace("CCCCC,2", "CCCCC,8"),
    )
    ingest(months / "month_000", postgres_url=postgres_url)

    assert query(postgres_url, "SELECT user_id, failed_payments_90d, as_of FROM payments_agg_90d ORDER BY 1") == [
        ("0001-AAAAA", 1, FEBRUARY),
        ("0002-BBBBB", 0, FEBRUARY),
        ("0003-CCCCC", 8, JANUARY),
    ]
    after = contents(postgres_url)
    changed = {"payments_agg_90d", "payments_agg_90d_snapshots"}
    assert {table for table in before if before[table] != after[table]} == changed


def test_months_loaded_newest_first_end_up_the_same(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    write_month("month_000")
    months = write_month("month_001", **without_user(month_files, "0001-AAAAA"))
    ingest(months / "month_001", postgres_url=postgres_url)

    ingest(months / "month_000", postgres_url=postgres_url)

    for table in LIVE_TABLES:
        assert query(postgres_url, f"SELECT user_id, as_of FROM {table} ORDER BY 1") == [
            ("0001-AAAAA", JANUARY),
            ("0002-BBBBB", FEBRUARY),
            ("0003-CCCCC", FEBRUARY),
        ]


def test_columns_that_no_file_has_are_left_alone(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    ingest(write_month(), postgres_url=postgres_url)
    execute(postgres_url, "UPDATE subscriptions SET add_on_backup = TRUE")

    months = write_month("month_001", subscriptions=month_files["subscriptions"].replace("29.85", "30.85"))
    ingest(months, postgres_url=postgres_url)

    assert query(postgres_url, "SELECT DISTINCT add_on_backup, as_of FROM subscriptions") == [(True, FEBRUARY)]


def test_a_bad_month_keeps_every_month_out(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    ingest(write_month("month_000"), postgres_url=postgres_url)
    before = contents(postgres_url)

    write_month("month_000", labels=month_files["labels"].replace("True", "False"))
    months = write_month("month_001", labels=month_files["labels"].replace("True", "yes"))
    with pytest.raises(JobError, match="nothing of any month was loaded: correct these files of month_001"):
        ingest(months, postgres_url=postgres_url)

    assert contents(postgres_url) == before


def test_a_bad_first_month_creates_no_table(write_month: WriteMonth, postgres_url: str) -> None:
    with pytest.raises(JobError, match="nothing was loaded"):
        ingest(write_month(labels=b""), postgres_url=postgres_url)

    assert query(postgres_url, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []


def test_a_failure_at_the_last_table_rolls_the_whole_month_back(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    months = write_month("month_000")
    ingest(months, postgres_url=postgres_url)
    execute(postgres_url, "ALTER TABLE labels_snapshots ADD CONSTRAINT only_january CHECK (as_of = '2024-01-31')")
    write_month("month_000", payments_agg_90d=month_files["payments_agg_90d"].replace("CCCCC,2", "CCCCC,8"))
    before = contents(postgres_url)

    write_month("month_001")
    with pytest.raises(JobError) as refusal:
        ingest(months, postgres_url=postgres_url)

    assert str(refusal.value).startswith(
        "nothing of month_001 was loaded; month_000 before it was loaded: a constraint of the tables is in the way"
    )
    assert 'violates check constraint "only_january"' in str(refusal.value)
    after = contents(postgres_url)
    changed = {"payments_agg_90d", "payments_agg_90d_snapshots"}
    assert {table for table in before if before[table] != after[table]} == changed, "January's correction stays"


def test_a_number_that_does_not_fit_its_column_rolls_the_month_back(write_month: WriteMonth, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        create_tables(connection)
    execute(postgres_url, "ALTER TABLE subscriptions ALTER total_paid TYPE NUMERIC(4, 2)")

    with pytest.raises(JobError, match=r"^nothing of month_000 was loaded: a value does not fit its column") as refusal:
        ingest(write_month(), postgres_url=postgres_url)

    assert "numeric field overflow" in str(refusal.value)
    assert not any(contents(postgres_url).values())


def test_a_table_of_another_making_is_told(write_month: WriteMonth, postgres_url: str) -> None:
    execute(postgres_url, "CREATE TABLE payments_agg_90d (user_id TEXT PRIMARY KEY, failed_payments_90d INT)")

    with pytest.raises(JobError, match="a table is not as this version makes it") as refusal:
        ingest(write_month(), postgres_url=postgres_url)

    assert "as_of does not exist" in str(refusal.value)
    assert query(postgres_url, "SELECT * FROM users") == []


def test_a_right_that_is_lacking_is_told(write_month: WriteMonth, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        create_tables(connection)

    with pytest.raises(JobError, match="nothing of month_000 was loaded: the user lacks a right; grant it"):
        ingest(write_month(), postgres_url=f"{postgres_url}&options=-c%20role%3Dpg_read_all_data")

    assert not any(contents(postgres_url).values())


def test_a_connection_lost_in_the_middle_is_told(write_month: WriteMonth, postgres_url: str) -> None:
    def cut_off(step: str) -> None:
        if "copied" in step:
            execute(
                postgres_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )

    with pytest.raises(JobError, match=r"nothing of month_000 was loaded: the server stopped, .* ingest again"):
        ingest(write_month(), postgres_url=postgres_url, on_progress=cut_off)

    assert not any(contents(postgres_url).values())


@pytest.mark.parametrize("changed", ["0003-CCCCC,-2", None], ids=["another value", "no file"])
def test_what_was_checked_is_loaded_whatever_becomes_of_the_file(
    month_files: dict[str, str], write_month: WriteMonth, postgres_url: str, changed: str | None
) -> None:
    payments = changed and month_files["payments_agg_90d"].replace("0003-CCCCC,2", changed)

    def change(step: str) -> None:
        if "labels.csv" in step:
            write_month(payments_agg_90d=payments)

    ingest(write_month(), postgres_url=postgres_url, on_progress=change)

    rows = query(postgres_url, "SELECT user_id, failed_payments_90d FROM payments_agg_90d ORDER BY user_id")
    assert rows == [("0001-AAAAA", 1), ("0002-BBBBB", 0), ("0003-CCCCC", 2)]


def test_a_temporary_folder_without_room_is_named(write_month: WriteMonth, postgres_url: str) -> None:
    def full(step: str) -> None:
        if "users.csv" in step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(
            JobError, match=r"nothing was loaded: checked rows can't be kept in .*: File too large; make"
        ):
            ingest(write_month(), postgres_url=postgres_url, on_progress=full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)


def test_an_unreachable_server_is_named_without_the_password(write_month: WriteMonth) -> None:
    with pytest.raises(JobError) as refusal:
        ingest(write_month(), postgres_url="postgresql://loader:s3cret@127.0.0.1:1/streamflow")

    assert "PostgreSQL at 127.0.0.1, port 1, database streamflow, as user loader" in str(refusal.value)
    assert "Connection refused" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("url", ["postgresql://loader:s3cret@host/db?colour=red", "postgresq//loader:s3cret@host/db"])
def test_a_url_that_is_none_is_told_without_the_password(write_month: WriteMonth, url: str) -> None:
    with pytest.raises(ConnectionUrlError, match=r"write postgresql://USER:PASSWORD@HOST:PORT/DATABASE") as refusal:
        ingest(write_month(), postgres_url=url)

    assert "s3cret" not in str(refusal.value)


def test_a_load_waits_for_another_to_end_and_marks_its_rows_later(write_month: WriteMonth, postgres_url: str) -> None:
    months, waiting = write_month(), threading.Event()

    def progress(step: str) -> None:
        if step == "month_000 waits for another ingest to end":
            waiting.set()

    with psycopg.connect(postgres_url) as connection:
        create_tables(connection)
    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(postgres_url) as other:
            lock_ingest(other)
            load = pool.submit(ingest, months, postgres_url=postgres_url, on_progress=progress)
            assert waiting.wait(TIMEOUT_S)
            assert not any(contents(postgres_url).values())
            [(other_wrote_at,)] = other.execute("SELECT clock_timestamp()").fetchall()
        load.result(TIMEOUT_S)

    assert query(postgres_url, "SELECT count(*) FROM users") == [(3,)]
    [(ingested_at,)] = query(postgres_url, "SELECT DISTINCT ingested_at FROM users")
    assert ingested_at > other_wrote_at


def test_loads_at_the_same_time_end_as_one_of_them(
    tmp_path: Path, month_files: dict[str, str], write_month: WriteMonth, postgres_url: str
) -> None:
    versions = []
    for user in ("0001-AAAAA", "0002-BBBBB", "0003-CCCCC"):
        months = write_month(**without_user(month_files, user))
        versions.append(months.rename(tmp_path / f"without_{user}"))

    with ThreadPoolExecutor(len(versions)) as pool:
        for load in [pool.submit(ingest, version, postgres_url=postgres_url) for version in versions]:
            load.result(TIMEOUT_S)

    users = {tuple(row[0] for row in rows) for rows in contents(postgres_url).values()}
    assert len(users) == 1
    assert len(users.pop()) == 2


def test_creating_the_tables_again_leaves_them_alone(write_month: WriteMonth, postgres_url: str) -> None:
    ingest(write_month(), postgres_url=postgres_url)
    before = contents(postgres_url)

    with psycopg.connect(postgres_url) as connection:
        create_tables(connection)

    assert contents(postgres_url) == before


def test_money_is_exact_in_live_tables_and_the_nearest_double_in_snapshots(
    write_month: WriteMonth, postgres_url: str
) -> None:
    ingest(write_month(), postgres_url=postgres_url)

    fee = "SELECT pg_typeof(monthly_fee)::text, monthly_fee::text FROM {} WHERE user_id = '0001-AAAAA'"
    assert query(postgres_url, fee.format("subscriptions")) == [("numeric", "29.85")]
    assert query(postgres_url, fee.format("subscriptions_profile_snapshots")) == [("double precision", "29.85")]
    hours = "SELECT watch_hours_30d FROM usage_agg_30d_snapshots WHERE user_id = '0001-AAAAA'"
    assert query(postgres_url, hours) == [(24.725258074861507,)]


def test_every_table_has_its_keys(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        create_tables(connection)

    keys = dict(
        query(
            postgres_url,
            "SELECT conrelid::regclass::text, array_agg(pg_get_constraintdef(oid) ORDER BY contype DESC)"
            " FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'f') GROUP BY 1",
        )
    )
    user_key = "PRIMARY KEY (user_id)"
    assert keys == {
        "users": [user_key],
        **{table: [user_key, "FOREIGN KEY (user_id) REFERENCES users(user_id)"] for table in LIVE_TABLES[1:]},
        **{table: ["PRIMARY KEY (user_id, as_of)"] for table in SNAPSHOT_TABLES},
    }


def test_tables_have_statistics_for_the_planner_after_a_load(write_month: WriteMonth, postgres_url: str) -> None:
    ingest(write_month(), postgres_url=postgres_url)

    for table in LIVE_TABLES + SNAPSHOT_TABLES:
        assert query(postgres_url, f"SELECT reltuples FROM pg_class WHERE oid = '{table}'::regclass") == [(3,)]


def test_progress_tells_of_each_step(write_month: WriteMonth, postgres_url: str) -> None:
    steps: list[str] = []

    ingest(write_month(), postgres_url=postgres_url, on_progress=steps.append)

    assert steps == [
        *(f"checked month_000/{table}.csv: 3 rows" for table in LIVE_TABLES),
        "month_000 is copied, and is being merged",
        "month_000 is loaded, as of 2024-01-31",
    ]
