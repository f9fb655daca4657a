"""What training reads of users as of a moment: Feast's values, and the rows that they are of."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamflow_offline.audit.compare import Feature, OfflineCell
from streamflow_offline.audit.offline_side import OfflineSide
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import connected, open_store
from streamflow_offline.ingest.job import ingest
from streamflow_repo.definitions.entities import user
from streamflow_repo.definitions.services import churn_v1, engagement_v1
from streamflow_repo.definitions.views import payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv
from training_sets import UNUSED_REDIS_URL, apply_objects, execute, query

WriteMonth = Callable[..., Path]
JANUARY, FEBRUARY, MARCH = (datetime(2024, month, day, tzinfo=UTC) for month, day in ((1, 31), (2, 29), (3, 31)))

PLAN = Feature(view="subs_profile_fv", name="plan_stream_tv", dtype="Bool", max_age_s=None)
PAYMENTS = Feature(view="payments_agg_90d_fv", name="failed_payments_90d", dtype="Int64", max_age_s=None)


@pytest.fixture
def two_months(applied_url: str, write_month: WriteMonth, month_files: dict[str, str]) -> str:
    """Three users, each with one failed payment more in February."""
    header, *rows = month_files["payments_agg_90d"].splitlines()
    more = [f"{row[:-1]}{int(row[-1]) + 1}" for row in rows]
    write_month("month_000")
    months = write_month("month_001", payments_agg_90d="\n".join([header, *more, ""]))
    ingest(months, postgres_url=applied_url)
    return applied_url


@contextmanager
def _side(url: str, *features: Feature) -> Iterator[OfflineSide]:
    with connected(url) as connection, open_store(postgres_url=url, redis_url=UNUSED_REDIS_URL) as store:
        connection.execute("SET TIME ZONE 'UTC'")
        service = store.get_feature_service("churn_v1")
        yield OfflineSide(store, connection, service=service, join_key="user_id", features=features)


def _cells(url: str, user_ids: Sequence[str], *, at: datetime) -> list[tuple[OfflineCell, ...]]:
    with _side(url, PLAN, PAYMENTS) as side:
        cells = side.read(user_ids, at=at)
    assert list(cells) == list(user_ids)
    return list(cells.values())


def _cell(value: object, event_timestamp: datetime | None) -> OfflineCell:
    return OfflineCell(value=value, event_timestamp=event_timestamp)


def test_a_user_has_the_newest_row_up_to_the_moment(two_months: str) -> None:
    users = ["0003-CCCCC", "0001-AAAAA"]
    assert _cells(two_months, users, at=MARCH) == [
        (_cell(None, FEBRUARY), _cell(3, FEBRUARY)),
        (_cell(False, FEBRUARY), _cell(2, FEBRUARY)),
    ]
    assert _cells(two_months, users, at=FEBRUARY - timedelta(seconds=1)) == [
        (_cell(None, JANUARY), _cell(2, JANUARY)),
        (_cell(False, JANUARY), _cell(1, JANUARY)),
    ]


def test_a_user_without_a_row_has_neither_value_nor_event_timestamp(two_months: str) -> None:
    execute(two_months, "DELETE FROM payments_agg_90d_snapshots WHERE user_id = '0001-AAAAA'")
    absent = OfflineCell()
    assert _cells(two_months, ["0001-AAAAA", "it's nobody"], at=MARCH) == [
        (_cell(False, FEBRUARY), absent),
        (absent, absent),
    ]
    assert _cells(two_months, ["0001-AAAAA"], at=JANUARY - timedelta(seconds=1)) == [(absent, absent)]


def test_a_row_beyond_the_views_ttl_is_told_without_its_value(two_months: str) -> None:
    aging = deepcopy(payments_agg_90d_fv)
    aging.ttl = timedelta(days=10)
    views = [aging, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv]
    apply_objects(two_months, [user, *views, churn_v1, engagement_v1])
    [[_, kept]] = _cells(two_months, ["0001-AAAAA"], at=FEBRUARY + timedelta(days=10))
    [[_, too_old]] = _cells(two_months, ["0001-AAAAA"], at=FEBRUARY + timedelta(days=10, seconds=1))
    assert kept == _cell(2, FEBRUARY)
    assert too_old == OfflineCell(event_timestamp=FEBRUARY, too_old=True)


def test_reading_leaves_no_table_behind(two_months: str) -> None:
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY relname"
    before = query(two_months, tables)
    _cells(two_months, ["0001-AAAAA"], at=MARCH)
    assert query(two_months, tables) == before


def test_rows_that_tie_are_refused(two_months: str) -> None:
    execute(
        two_months,
        "ALTER TABLE payments_agg_90d_snapshots DROP CONSTRAINT payments_agg_90d_snapshots_pkey",
        "INSERT INTO payments_agg_90d_snapshots SELECT * FROM payments_agg_90d_snapshots WHERE user_id < '0002'",
    )
    with pytest.raises(JobError, match=r"Feast gives 3 rows for 2 users: .* the same event timestamp"):
        _cells(two_months, ["0001-AAAAA", "0002-BBBBB"], at=MARCH)


def test_a_table_that_is_gone_is_told_in_feasts_words(two_months: str) -> None:
    execute(two_months, "DROP TABLE payments_agg_90d_snapshots")
    with pytest.raises(JobError, match=r'Feast could not read churn_v1: UndefinedTable: relation "payments_agg'):
        _cells(two_months, ["0001-AAAAA"], at=MARCH)
