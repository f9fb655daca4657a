import re
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from streamflow_offline.errors import JobError
from streamflow_offline.generate.ids import user_ids
from streamflow_offline.generate.job import generate_months
from streamflow_offline.generate.randomness import BLOCK_USERS
from streamflow_offline.months import find_months
from streamflow_offline.tables import SUBSCRIPTIONS, TABLES, USERS

FIRST_USER = "3413-BMNZE"
PLAIN_NUMBER = r"\d+\.\d+"
BOOL = "True|False"
COUNT = r"\d+"

FIELDS = {
    "user_id": r"[0-9]{4}-[A-Z]{5}",
    "signup_date": r"2022-0[12]-\d\d",
    "user_gender": "Female|Male",
    "user_is_senior": BOOL,
    "has_family": BOOL,
    "has_dependents": BOOL,
    "months_active": COUNT,
    "plan_stream_tv": f"{BOOL}|",
    "plan_stream_movies": f"{BOOL}|",
    "contract_type": "Month-to-month|One year|Two year",
    "paperless_billing": BOOL,
    "monthly_fee": r"\d+\.\d[05]?",
    "total_paid": r"\d+\.\d[05]?",
    "net_service": "DSL|Fiber optic|No",
    "watch_hours_30d": PLAIN_NUMBER,
    "avg_session_mins_7d": r"\d+\.\d\d?",
    "unique_devices_30d": "[123]",
    "skips_7d": COUNT,
    "rebuffer_events_7d": COUNT,
    "failed_payments_90d": COUNT,
    "support_tickets_90d": COUNT,
    "ticket_avg_resolution_hrs_90d": r"\d+\.\d",
    "churn_label": BOOL,
}
"""What each column's fields look like in StreamFlow's own files."""


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three months of users of more than one block; the tests only read them."""
    return generate_months(tmp_path_factory.mktemp("months"), users=BLOCK_USERS + 50, months=3, seed=3)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))}


def _wide(month: Path) -> pl.DataFrame:
    """Return all tables of a month side by side, every field as its text, in the order of the files."""
    frames = [pl.read_csv(month / f"{table.name}.csv", infer_schema=False) for table in TABLES]
    return pl.concat([frames[0], *(frame.drop("user_id") for frame in frames[1:])], how="horizontal")


def test_each_month_has_the_files_and_columns_of_the_tables(months: list[Path]) -> None:
    assert [month.name for month in months] == ["month_000", "month_001", "month_002"]
    for month in months:
        assert sorted(path.name for path in month.iterdir()) == sorted(f"{table.name}.csv" for table in TABLES)
        for table in TABLES:
            header = (month / f"{table.name}.csv").read_text(encoding="utf-8").split("\n", 1)[0]
            assert header.split(",") == ["user_id", *(column.name for column in table.csv_columns)]


def test_the_months_are_found_with_their_days(months: list[Path]) -> None:
    assert [month.path for month in find_months(months[0].parent)] == months


def test_each_file_has_one_line_a_user_ended_by_a_newline(months: list[Path]) -> None:
    for month in months:
        for content in _contents(month).values():
            assert content.endswith(b"\n")
            assert content.count(b"\n") == 1 + BLOCK_USERS + 50
            assert b"\r" not in content
            assert b'"' not in content


@pytest.mark.parametrize(("column", "form"), list(FIELDS.items()))
def test_fields_are_written_as_streamflow_writes_them(months: list[Path], column: str, form: str) -> None:
    for month in months:
        fields = _wide(month)[column].fill_null("").unique()
        assert [field for field in fields if not re.fullmatch(form, field)] == []


def test_watch_hours_are_written_in_full_precision(months: list[Path]) -> None:
    assert _wide(months[0])["watch_hours_30d"].str.len_chars().median() == 18


def test_all_files_have_the_same_users_in_the_same_order(months: list[Path]) -> None:
    expected = _wide(months[0])["user_id"].to_list()
    for month in months:
        for table in TABLES:
            assert pl.read_csv(month / f"{table.name}.csv")["user_id"].to_list() == expected


def test_no_user_is_there_twice(months: list[Path]) -> None:
    assert _wide(months[0])["user_id"].is_unique().all()


def test_no_id_repeats_among_a_million() -> None:
    assert len(set(user_ids(seed=0, start=0, count=1_000_000))) == 1_000_000


def test_ids_look_random() -> None:
    characters = np.array([list(user_id) for user_id in user_ids(seed=0, start=0, count=20_000)])
    for place in [*range(4), *range(5, 10)]:
        _, counts = np.unique(characters[:, place], return_counts=True)
        expected = 20_000 / (10 if place < 4 else 26)
        # Five standard deviations of a count, so that a fair draw stays within for nearly every seed.
        assert np.abs(counts - expected).max() < 5 * expected**0.5
    first_of_next = characters[1:, 0] == characters[:-1, 0]
    assert first_of_next.mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("users", [1, 2, 1000])
@pytest.mark.parametrize("seed", [0, 12345, 2**70])
def test_the_user_of_the_examples_is_always_there(tmp_path: Path, users: int, seed: int) -> None:
    month = generate_months(tmp_path, users=users, months=1, seed=seed)[0]
    ids = _wide(month)["user_id"].to_list()
    assert len(ids) == users
    assert ids.count(FIRST_USER) == 1


def test_streaming_plans_are_empty_for_exactly_the_users_without_net_service(months: list[Path]) -> None:
    for month in months:
        wide = _wide(month)
        for plan in ("plan_stream_tv", "plan_stream_movies"):
            assert wide[plan].is_null().equals(wide["net_service"] == "No")
        assert wide.drop("plan_stream_tv", "plan_stream_movies").null_count().sum_horizontal().item() == 0


def test_nothing_was_paid_by_exactly_the_users_of_no_month(months: list[Path]) -> None:
    wide = _wide(months[0])
    is_new = wide["months_active"] == "0"
    assert is_new.any()
    assert (wide["total_paid"] == "0.0").equals(is_new)


def test_users_of_one_month_paid_their_fee(months: list[Path]) -> None:
    wide = _wide(months[0]).filter(pl.col("months_active") == "1")
    assert wide["total_paid"].equals(wide["monthly_fee"])


def test_the_signup_date_is_36_less_the_months_active_in_days_after_the_first(months: list[Path]) -> None:
    wide = _wide(months[0])
    days = (36 - pl.col("months_active").cast(pl.Int64)).clip(lower_bound=0)
    expected = wide.select((pl.lit(date(2022, 1, 1)) + pl.duration(days=days)).dt.to_string()).to_series()
    assert wide["signup_date"].equals(expected)


def test_profiles_are_the_same_in_every_month(months: list[Path]) -> None:
    for table in (USERS, SUBSCRIPTIONS):
        assert len({(month / f"{table.name}.csv").read_bytes() for month in months}) == 1


@pytest.mark.parametrize("column", ["rebuffer_events_7d", "failed_payments_90d", "support_tickets_90d"])
def test_troubles_add_up_from_month_to_month(months: list[Path], column: str) -> None:
    for before, after in pairwise(_wide(month)[column].cast(pl.Int64) for month in months):
        assert (after >= before).all()
        assert (after > before).any()


@pytest.mark.parametrize(
    "column", ["avg_session_mins_7d", "unique_devices_30d", "skips_7d", "ticket_avg_resolution_hrs_90d"]
)
def test_other_behaviour_stays(months: list[Path], column: str) -> None:
    first, *others = [_wide(month)[column] for month in months]
    assert all(other.equals(first) for other in others)


def test_watch_hours_of_many_months_stay_plain_numbers_above_zero(tmp_path: Path) -> None:
    last = generate_months(tmp_path, users=500, months=150)[-1]
    fields = _wide(last)["watch_hours_30d"]
    assert fields.str.contains(f"^{PLAIN_NUMBER}$").all()
    assert (fields.cast(pl.Float64) >= 1).all()


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    generate_months(tmp_path / "one", users=300, seed=8)
    generate_months(tmp_path / "two", users=300, seed=8)
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")


def test_another_seed_changes_every_file(tmp_path: Path) -> None:
    generate_months(tmp_path / "one", users=300, seed=8)
    generate_months(tmp_path / "two", users=300, seed=9)
    one, two = _contents(tmp_path / "one"), _contents(tmp_path / "two")
    assert [name for name in one if one[name] == two[name]] == []
    ids = [set(_wide(tmp_path / run / "month_000")["user_id"]) for run in ("one", "two")]
    assert ids[0] & ids[1] == {FIRST_USER}


def test_fewer_months_are_the_first_of_more(tmp_path: Path) -> None:
    few = generate_months(tmp_path / "few", users=300, months=2)
    many = generate_months(tmp_path / "many", users=300, months=12)
    assert [_contents(month) for month in few] == [_contents(month) for month in many[:2]]


@pytest.mark.parametrize("users", [20, BLOCK_USERS, BLOCK_USERS + 1])
def test_fewer_users_are_the_first_of_more(tmp_path: Path, months: list[Path], users: int) -> None:
    few = generate_months(tmp_path, users=users, months=3, seed=3)
    for one, other in zip(few, months, strict=True):
        assert _wide(one).equals(_wide(other).head(users))


def test_blocks_of_users_are_not_alike(months: list[Path]) -> None:
    hours = _wide(months[2])["watch_hours_30d"]
    assert not set(hours.head(50)) & set(hours.tail(50))


def test_progress_goes_up_by_no_more_than_a_block_and_ends_at_the_total(tmp_path: Path) -> None:
    seen = [(0, 0)]
    generate_months(
        tmp_path, users=BLOCK_USERS + 5, months=2, on_progress=lambda done, total: seen.append((done, total))
    )
    total = (BLOCK_USERS + 5) * 2 * len(TABLES)
    assert {total for _, total in seen[1:]} == {total}
    assert seen[-1] == (total, total)
    # Rows are written as they are drawn: no step, and so nothing in memory, is larger than a block.
    steps = [after - before for (before, _), (after, _) in pairwise(seen)]
    assert all(0 < step <= BLOCK_USERS * len(TABLES) for step in steps)


@pytest.mark.parametrize(
    ("users", "months", "seed", "message"),
    [
        (0, 1, 0, "users must be 1 to 118813760000, the number of different user ids, not 0"),
        (118_813_760_001, 1, 0, "users must be 1 to 118813760000"),
        (1, 0, 0, "months must be 1 or more, not 0"),
        (1, 1001, 0, "cannot generate 1001 months: there is no folder for month 1000"),
        (1, 1, -1, "seed must be 0 or more, not -1"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, users: int, months: int, seed: int, message: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(JobError, match=message):
        generate_months(out, users=users, months=months, seed=seed)
    assert not out.exists()


def test_a_folder_that_holds_a_month_is_refused_and_left_alone(tmp_path: Path) -> None:
    held = tmp_path / "month_004"
    held.mkdir()
    with pytest.raises(JobError, match=f"{tmp_path} already holds month_004; generate into another folder, or delete"):
        generate_months(tmp_path, users=5)
    assert list(tmp_path.iterdir()) == [held]


def test_what_else_the_folder_holds_is_left_alone(tmp_path: Path) -> None:
    note = tmp_path / "README.md"
    note.write_text("mine", encoding="utf-8")
    months = generate_months(tmp_path, users=5)
    assert sorted(tmp_path.iterdir()) == [note, *months]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.touch()
    with pytest.raises(JobError, match=f"could not write month folders into {out}: "):
        generate_months(out, users=5)


def test_a_month_that_someone_else_put_there_meanwhile_is_kept(tmp_path: Path) -> None:
    theirs = tmp_path / "month_000" / "users.csv"

    def write_theirs(_done: int, _total: int) -> None:
        theirs.parent.mkdir()
        theirs.write_text("theirs", encoding="utf-8")

    with pytest.raises(JobError, match="could not write month folders into"):
        generate_months(tmp_path, users=5, months=1, on_progress=write_theirs)
    assert theirs.read_text(encoding="utf-8") == "theirs"
    assert list(tmp_path.iterdir()) == [theirs.parent]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, interruption: type[BaseException]) -> None:
    seen_months: list[Path] = []

    def interrupt(done: int, total: int) -> None:
        seen_months.extend(tmp_path.glob("month_*"))
        if done == total:
            raise interruption

    with pytest.raises(interruption):
        generate_months(tmp_path, users=5, months=3, on_progress=interrupt)
    assert seen_months == []
    assert list(tmp_path.iterdir()) == []
