"""The snapshots become Parquet that Spark reads, in one step. Only an earlier export is replaced."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from streamflow_offline.errors import JobError
from streamflow_offline.export.job import export_snapshots
from streamflow_offline.ingest.job import ingest
from training_sets import execute

_SNAPSHOTS = {
    "subscriptions_profile_snapshots",
    "usage_agg_30d_snapshots",
    "payments_agg_90d_snapshots",
    "support_agg_90d_snapshots",
}


@pytest.fixture
def months_url(applied_url: str, write_month: Callable[..., Path]) -> str:
    write_month("month_000")
    ingest(write_month("month_001"), postgres_url=applied_url)
    return applied_url


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_each_table_has_a_file_a_month_with_the_values_of_postgresql(months_url: str, tmp_path: Path) -> None:
    exported = export_snapshots(str(tmp_path / "data"), postgres_url=months_url)

    assert {(table.name, table.months, table.rows) for table in exported} == {(name, 2, 6) for name in _SNAPSHOTS}
    days = ("2024-01-31", "2024-02-29")
    assert _files(tmp_path / "data") == {f"{name}/{day}.parquet" for name in _SNAPSHOTS for day in days} | {
        "_export.json"
    }
    table = pyarrow.parquet.read_table(tmp_path / "data/subscriptions_profile_snapshots/2024-02-29.parquet")
    moment = pa.timestamp("us", tz="UTC")
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "user_id": pa.string(),
        "as_of": moment,
        "ingested_at": moment,
        "months_active": pa.int32(),
        "plan_stream_tv": pa.bool_(),
        "plan_stream_movies": pa.bool_(),
        "paperless_billing": pa.bool_(),
        "monthly_fee": pa.float64(),
        "net_service": pa.string(),
    }
    row = table.to_pylist()[2]
    assert (row["user_id"], row["as_of"]) == ("0003-CCCCC", datetime(2024, 2, 29, tzinfo=UTC))
    assert (row["plan_stream_tv"], row["monthly_fee"], row["net_service"]) == (None, 20.05, "No")
    counts = json.loads((tmp_path / "data/_export.json").read_text(encoding="utf-8"))["tables"]
    assert counts["usage_agg_30d_snapshots"] == {"months": 2, "rows": 6}


def test_a_table_without_rows_has_its_columns(applied_url: str, tmp_path: Path) -> None:
    export_snapshots(str(tmp_path / "data"), postgres_url=applied_url)
    table = pyarrow.parquet.read_table(tmp_path / "data/payments_agg_90d_snapshots/none.parquet")
    assert table.schema.names == ["user_id", "as_of", "ingested_at", "failed_payments_90d"]
    assert table.num_rows == 0


def test_an_earlier_export_gives_way_and_leaves_nothing(months_url: str, tmp_path: Path) -> None:
    out = tmp_path / "data"
    export_snapshots(str(out), postgres_url=months_url)
    execute(months_url, "DELETE FROM usage_agg_30d_snapshots WHERE as_of = '2024-01-31'")
    export_snapshots(str(out), postgres_url=months_url)
    assert "usage_agg_30d_snapshots/2024-01-31.parquet" not in _files(out)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_export_that_fails_leaves_the_earlier_one(months_url: str, tmp_path: Path) -> None:
    out = tmp_path / "data"
    export_snapshots(str(out), postgres_url=months_url)
    before = _files(out)
    execute(months_url, "DROP TABLE support_agg_90d_snapshots")
    with pytest.raises(JobError, match=r"PostgreSQL failed: .*support_agg_90d_snapshots.* does not exist"):
        export_snapshots(str(out), postgres_url=months_url)
    assert _files(out) == before


@pytest.mark.parametrize("name", ["of_mine", "a_file"])
def test_what_is_no_export_is_left_alone(months_url: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "of_mine").mkdir()
    (tmp_path / "a_file").touch()
    with pytest.raises(JobError, match=r"is there already and is not an export; name another folder, or remove it"):
        export_snapshots(str(tmp_path / name), postgres_url=months_url)


def test_a_uri_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"s3a://bucket/data is a URI; export into a folder"):
        export_snapshots("s3a://bucket/data", postgres_url=f"postgresql://f@/d?host={tmp_path}")
