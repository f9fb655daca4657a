"""A training set has the rows asked for, with the features and the label of their month, and says what it is."""

import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from streamflow_local.testing import copied_database
from streamflow_offline.generate.job import generate_months
from streamflow_offline.ingest.job import ingest
from streamflow_repo import CONTRACT_PATH
from training_sets import build, execute, file_bytes, query, read_rows, read_schema

CHECKOUT = Path(__file__).resolve().parents[2]
JANUARY, FEBRUARY, MARCH = date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)
USERS = 60
SNAPSHOTS = ("subscriptions_profile", "usage_agg_30d", "payments_agg_90d", "support_agg_90d", "labels")

WriteMonth = Callable[..., Path]


@pytest.fixture(scope="module")
def months_template(
    postgres_socket_dir: Path, applied_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database with three months of generated users, to be copied."""
    months = tmp_path_factory.mktemp("generated")
    generate_months(months, users=USERS, months=3)
    with copied_database(postgres_socket_dir, "months_template", template=applied_template) as url:
        ingest(months, postgres_url=url)
        yield "months_template"


@pytest.fixture
def months_url(postgres_socket_dir: Path, months_template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"months_{abs(hash(request.node.nodeid))}"
    with copied_database(postgres_socket_dir, name, template=months_template) as url:
        yield url


@pytest.fixture
def three_users(applied_url: str, write_month: WriteMonth, month_files: dict[str, str]) -> str:
    """Two months of three users; the second month's labels are the opposite of the first's."""
    write_month("month_000")
    opposite = re.sub("True|False", lambda match: str(match[0] == "False"), month_files["labels"])
    ingest(write_month("month_001", labels=opposite), postgres_url=applied_url)
    return applied_url


def test_each_label_is_joined_to_the_features_of_its_month(three_users: str, tmp_path: Path) -> None:
    execute(
        three_users,
        "UPDATE subscriptions_profile_snapshots SET monthly_fee = monthly_fee + 1 WHERE as_of > '2024-02-01'",
    )

    build(three_users, tmp_path / "out")

    found = [(r["as_of"], r["user_id"], r["monthly_fee"], r["churn_label"]) for r in read_rows(tmp_path / "out")]
    assert found == [
        ("2024-01-31", "0001-AAAAA", 29.85, False),
        ("2024-01-31", "0002-BBBBB", 56.95, True),
        ("2024-01-31", "0003-CCCCC", 20.05, False),
        ("2024-02-29", "0001-AAAAA", 30.85, True),
        ("2024-02-29", "0002-BBBBB", 57.95, False),
        ("2024-02-29", "0003-CCCCC", 21.05, True),
    ]


def test_a_row_has_all_features_and_null_stays_null(three_users: str, tmp_path: Path) -> None:
    build(three_users, tmp_path / "out", as_of=(JANUARY,))

    assert read_rows(tmp_path / "out")[2] == {
        "as_of": "2024-01-31",
        "user_id": "0003-CCCCC",
        "event_timestamp": datetime(2024, 1, 31, tzinfo=UTC),
        "months_active": 0,
        "monthly_fee": 20.05,
        "paperless_billing": True,
        "plan_stream_tv": None,
        "plan_stream_movies": None,
        "net_service": "No",
        "watch_hours_30d": 30.5,
        "avg_session_mins_7d": 25.0,
        "unique_devices_30d": 3,
        "skips_7d": 14,
        "rebuffer_events_7d": 0,
        "failed_payments_90d": 2,
        "support_tickets_90d": 1,
        "ticket_avg_resolution_hrs_90d": 12.5,
        "churn_label": False,
    }


def test_types_are_the_contracts(three_users: str, tmp_path: Path) -> None:
    execute(three_users, "UPDATE subscriptions_profile_snapshots SET months_active = NULL WHERE user_id < '0002'")
    build(three_users, tmp_path / "out")

    contract = json.loads(CONTRACT_PATH.read_text(encoding="utf-8"))
    [service] = [entry for entry in contract["feature_services"] if entry["name"] == "churn_v1"]
    types = {"Bool": pa.bool_(), "Int64": pa.int64(), "Float64": pa.float64(), "String": pa.string()}
    assert read_schema(tmp_path / "out") == pa.schema(
        [
            ("user_id", pa.string()),
            ("event_timestamp", pa.timestamp("us", tz="UTC")),
            *((feature["name"], types[feature["dtype"]]) for feature in service["features"]),
            ("churn_label", pa.bool_()),
        ]
    )
    assert [row["months_active"] for row in read_rows(tmp_path / "out")[:3]] == [None, 34, 0]


def test_a_smaller_service_has_its_own_features(three_users: str, tmp_path: Path) -> None:
    build(three_users, tmp_path / "out", service="engagement_v1")

    assert read_schema(tmp_path / "out").names == [
        *("user_id", "event_timestamp"),
        *("months_active", "net_service", "watch_hours_30d", "rebuffer_events_7d"),
        "churn_label",
    ]


def test_a_user_without_a_snapshot_of_the_month_has_the_last_one_before(three_users: str, tmp_path: Path) -> None:
    execute(three_users, "DELETE FROM usage_agg_30d_snapshots WHERE user_id = '0001-AAAAA' AND as_of = '2024-02-29'")
    execute(three_users, "DELETE FROM payments_agg_90d_snapshots WHERE user_id = '0002-BBBBB' AND as_of = '2024-01-31'")

    build(three_users, tmp_path / "out")

    rows = {(row["as_of"], row["user_id"]): row for row in read_rows(tmp_path / "out")}
    assert rows["2024-02-29", "0001-AAAAA"]["skips_7d"] == 0
    assert rows["2024-01-31", "0002-BBBBB"]["failed_payments_90d"] is None
    assert rows["2024-02-29", "0002-BBBBB"]["failed_payments_90d"] == 0


def test_the_rows_are_those_of_the_labels_each_once_in_order(months_url: str, tmp_path: Path) -> None:
    report = build(months_url, tmp_path / "out", chunk_rows=7)

    found = [(row["as_of"], row["user_id"]) for row in read_rows(tmp_path / "out")]
    labels = query(months_url, "SELECT as_of::text, user_id FROM labels_snapshots")
    assert found == sorted(labels)
    assert report.manifest["rows"] == len(found) == 3 * USERS
    assert report.manifest["order"] == ["as_of", "user_id"]
    files = file_bytes(tmp_path / "out")
    assert len(files) == 3 * 9
    assert list(files)[:2] == ["as_of=2024-01-31/part-00000.parquet", "as_of=2024-01-31/part-00001.parquet"]


@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_the_same_input_gives_the_same_bytes(months_url: str, tmp_path: Path, name: str) -> None:
    first = build(months_url, tmp_path / "first" / name, chunk_rows=50)
    # Other plans, other places on disk.
    execute(months_url, "CLUSTER labels_snapshots USING labels_snapshots_pkey", "VACUUM FULL usage_agg_30d_snapshots")
    second = build(months_url, tmp_path / "second" / name, chunk_rows=50)

    assert first.manifest["content_hash"] == second.manifest["content_hash"]
    if name == "out":
        assert file_bytes(tmp_path / "first/out") == file_bytes(tmp_path / "second/out")
    else:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_day_has_the_same_files_whichever_other_days_are_built(months_url: str, tmp_path: Path) -> None:
    build(months_url, tmp_path / "all", chunk_rows=40)
    build(months_url, tmp_path / "march", as_of=(MARCH,), chunk_rows=40)

    everything = file_bytes(tmp_path / "all")
    assert file_bytes(tmp_path / "march") == {
        name: data for name, data in everything.items() if name.startswith("as_of=2024-03-31/")
    }


def test_rewriting_everything_after_a_day_leaves_its_bytes_alone(months_url: str, tmp_path: Path) -> None:
    build(months_url, tmp_path / "before", chunk_rows=25)
    for table in (f"{name}_snapshots" for name in SNAPSHOTS):
        execute(months_url, f"DELETE FROM {table} WHERE as_of > '2024-01-31' AND user_id < '5'")
    execute(
        months_url,
        "UPDATE subscriptions_profile_snapshots SET monthly_fee = -1, plan_stream_tv = NULL, net_service = 'leak'"
        " WHERE as_of > '2024-01-31'",
        "UPDATE usage_agg_30d_snapshots SET watch_hours_30d = -1, skips_7d = -1 WHERE as_of > '2024-01-31'",
        "UPDATE payments_agg_90d_snapshots SET failed_payments_90d = -1 WHERE as_of > '2024-01-31'",
        "UPDATE support_agg_90d_snapshots SET support_tickets_90d = -1 WHERE as_of > '2024-01-31'",
        "UPDATE labels_snapshots SET churn_label = NOT churn_label WHERE as_of > '2024-01-31'",
        "INSERT INTO payments_agg_90d_snapshots SELECT user_id, -1, '2024-02-01', now() FROM users",
        "UPDATE payments_agg_90d_snapshots SET ingested_at = 'infinity' WHERE as_of > '2024-01-31'",
    )

    build(months_url, tmp_path / "after", chunk_rows=25)

    before, after = file_bytes(tmp_path / "before"), file_bytes(tmp_path / "after")
    january = {name for name in before if name.startswith("as_of=2024-01-31/")}
    assert len(january) == 3
    assert {name: before[name] for name in january} == {name: after[name] for name in january}
    assert before != after


def test_what_is_written_while_the_job_runs_is_not_in_it(months_url: str, tmp_path: Path) -> None:
    before = build(months_url, tmp_path / "before")

    def on_progress(line: str) -> None:
        if line.startswith("collecting"):
            execute(
                months_url,
                "UPDATE usage_agg_30d_snapshots SET skips_7d = 99",
                "DELETE FROM labels_snapshots WHERE as_of = '2024-02-29'",
            )

    during = build(months_url, tmp_path / "during", on_progress=on_progress)

    after = build(months_url, tmp_path / "after")
    assert during.manifest["content_hash"] == before.manifest["content_hash"]
    assert after.manifest["rows"] == 2 * USERS


def test_a_csv_has_the_values_of_the_dataset(months_url: str, tmp_path: Path) -> None:
    build(months_url, tmp_path / "out", chunk_rows=50)
    report = build(months_url, tmp_path / "out.csv", chunk_rows=50)

    def text(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, datetime):
            return value.strftime("%Y-%m-%d %H:%M:%S.%fZ")
        return "" if value is None else str(value)

    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [{name: text(value) for name, value in row.items()} for row in read_rows(tmp_path / "out")]
    numbers = {"monthly_fee", "watch_hours_30d", "avg_session_mins_7d", "ticket_avg_resolution_hrs_90d"}
    assert len(rows) == len(expected)
    for found, wanted in zip(rows, expected, strict=True):
        assert list(found) == list(wanted)
        assert {n: float(v) if n in numbers else v for n, v in found.items()} == {
            n: float(v) if n in numbers else v for n, v in wanted.items()
        }
    digest = hashlib.sha256((tmp_path / "out.csv").read_bytes()).hexdigest()
    assert report.manifest["content_hash"] == f"sha256:{digest}"
    assert json.loads((tmp_path / "out.manifest.json").read_text(encoding="utf-8")) == report.manifest


def test_the_manifest_says_what_the_dataset_is(three_users: str, tmp_path: Path) -> None:
    execute(three_users, "UPDATE usage_agg_30d_snapshots SET watch_hours_30d = 'NaN' WHERE user_id = '0001-AAAAA'")
    report = build(three_users, tmp_path / "out")

    manifest = json.loads((tmp_path / "out/_manifest.json").read_text(encoding="utf-8"))
    assert manifest == report.manifest
    assert report.manifest_path == tmp_path / "out/_manifest.json"
    assert manifest["feature_service"] == "churn_v1"
    assert manifest["contract_hash"] == json.loads(CONTRACT_PATH.read_text(encoding="utf-8"))["hash"]
    assert manifest["rows"] == 6
    assert manifest["label"] == "churn_label"
    assert manifest["label_rate"] == 0.5
    assert manifest["dates"] == [
        {"as_of": "2024-01-31", "rows": 3, "label_rate": 1 / 3},
        {"as_of": "2024-02-29", "rows": 3, "label_rate": 2 / 3},
    ]
    features = manifest["features"]
    assert len(features) == 14
    assert features["plan_stream_tv"] == {"dtype": "Bool", "null_share": 1 / 3, "min": False, "mean": 0.5, "max": True}
    assert features["months_active"] == {"dtype": "Int64", "null_share": 0, "min": 0, "mean": 35 / 3, "max": 34}
    assert features["net_service"] == {"dtype": "String", "null_share": 0, "min": "DSL", "mean": None, "max": "No"}
    assert features["watch_hours_30d"] == {
        "dtype": "Float64",
        "null_share": 0,
        "min": 28.761993560817107,
        "mean": pytest.approx((28.761993560817107 + 30.5) / 2),
        "max": 30.5,
        "not_finite": 2,
    }
    assert manifest["packages"]["pyarrow"] == version("pyarrow")
    assert manifest["duration_s"] > 0
    assert manifest["columns"]["plan_stream_tv"] == "bool"
    lines = ""
    for name, data in file_bytes(tmp_path / "out").items():
        digest = hashlib.sha256(data).hexdigest()
        assert {"path": name, "rows": 3, "bytes": len(data), "sha256": digest} in manifest["files"]
        lines += f"{name} {digest}\n"
    assert manifest["content_hash"] == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def test_progress_has_rows_a_rate_and_the_time_left(
    months_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamflow_offline.progress._MIN_INTERVAL_S", 0)
    lines: list[str] = []
    build(months_url, tmp_path / "out", chunk_rows=60, on_progress=lines.append)

    assert lines[0] == "collecting the entity rows"
    assert [line.split(" rows, ")[0] for line in lines[1:]] == ["60 of 180", "120 of 180", "180 of 180"]
    assert all(" rows/s, " in line and line.endswith(" s left") for line in lines[1:3])
    assert lines[3].endswith(" rows/s")


def test_a_dataset_is_read_by_pyarrow_as_a_whole(months_url: str, tmp_path: Path) -> None:
    build(months_url, tmp_path / "out", chunk_rows=50)

    table = pa.dataset.dataset(tmp_path / "out", partitioning="hive").to_table()

    assert table.num_rows == 3 * USERS
    assert set(table.column("as_of").to_pylist()) == {"2024-01-31", "2024-02-29", "2024-03-31"}


def test_definitions_other_than_the_committed_ones_are_told(
    months_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamflow_offline.training_set.definitions.CONTRACT_PATH", tmp_path / "none.json")
    lines: list[str] = []
    build(months_url, tmp_path / "out", on_progress=lines.append)

    assert lines[0].startswith("the applied definitions, sha256:")


def test_the_real_months_give_their_known_rows_and_label_rate(applied_url: str, tmp_path: Path) -> None:
    months = Path(os.environ.get("STREAMFLOW_DATA") or CHECKOUT.parent / "shared" / "streamflow")
    if not months.is_dir():
        pytest.skip("StreamFlow's real months are not at hand; STREAMFLOW_DATA names their folder")
    ingest(months, postgres_url=applied_url)

    report = build(applied_url, tmp_path / "out")

    assert report.manifest["rows"] == 14_086
    january = report.manifest["dates"][0]
    assert (january["as_of"], january["rows"], round(january["label_rate"], 4)) == ("2024-01-31", 7043, 0.2654)
    assert report.manifest["features"]["plan_stream_tv"]["null_share"] == 1526 / 7043
