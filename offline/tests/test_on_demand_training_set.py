"""On-demand features in a training set: request data of the entity rows, and the values that a model is served."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from online_stores import OnlineStores
from streamflow_offline.apply.job import apply_definitions
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import open_store
from streamflow_offline.ingest.job import ingest
from training_sets import build, execute, read_rows, read_schema

WriteMonth = Callable[..., Path]
A, B, C, UNKNOWN = "0001-AAAAA", "0002-BBBBB", "0003-CCCCC", "9999-ZZZZZ"
MINS = {A: 40.5, B: 0.1, C: 7.0, UNKNOWN: 12.0}
OUTPUT = "session_over_avg_7d"


@pytest.fixture
def stores(online_stores: OnlineStores, write_month: WriteMonth) -> OnlineStores:
    """A month of three users, in PostgreSQL and in Redis; the mean session of C is 0."""
    ingest(write_month(), postgres_url=online_stores.postgres_url)
    execute(
        online_stores.postgres_url,
        f"UPDATE usage_agg_30d_snapshots SET avg_session_mins_7d = 0 WHERE user_id = '{C}'",
    )
    online_stores.materialize()
    return online_stores


def _asked(tmp_path: Path, mins: dict[str, Any] | None = None, *, column: str = "session_mins") -> Path:
    path = tmp_path / "asked.csv"
    rows = [f"{user_id},2024-02-01,{value}" for user_id, value in (MINS if mins is None else mins).items()]
    path.write_text("\n".join([f"user_id,as_of,{column}", *rows, ""]), encoding="utf-8")
    return path


def test_a_training_set_has_what_feast_serves_for_the_same_request_data(stores: OnlineStores, tmp_path: Path) -> None:
    report = build(stores.postgres_url, tmp_path / "out", service="session_v1", entities=_asked(tmp_path))
    with open_store(postgres_url=stores.postgres_url, redis_url=stores.redis_url) as store:
        served = store.get_online_features(
            features=store.get_feature_service("session_v1"),
            entity_rows=[{"user_id": user_id, "session_mins": mins} for user_id, mins in MINS.items()],
        ).to_dict()
    rows = read_rows(tmp_path / "out")
    assert [row["user_id"] for row in rows] == served["user_id"]
    for name in report.manifest["features"]:
        assert [row[name] for row in rows] == served[name], name
    assert [row[OUTPUT] for row in rows] == [40.5 / 18.97, 0.1 / 31.18, None, None]
    assert report.manifest["request_data"] == {"session_mins": "Float64"}


def test_columns_are_the_services_features_and_then_the_callers(stores: OnlineStores, tmp_path: Path) -> None:
    build(stores.postgres_url, tmp_path / "out", service="session_v1", entities=_asked(tmp_path, {A: "3"}))
    schema = read_schema(tmp_path / "out")
    assert schema.names[3:] == [
        *("months_active", "net_service", "watch_hours_30d", "avg_session_mins_7d", OUTPUT, "session_mins")
    ]
    # Whole numbers in the file would otherwise make the column Int64.
    assert schema.field("session_mins").type == schema.field(OUTPUT).type == pa.float64()


def test_the_files_do_not_depend_on_the_chunks_or_on_where_the_rows_come_from(
    stores: OnlineStores, tmp_path: Path
) -> None:
    values = ", ".join(f"('{user_id}', DATE '2024-02-01', {mins}::numeric)" for user_id, mins in MINS.items())
    query = f"SELECT * FROM (VALUES {values}) AS v (user_id, as_of, session_mins)"
    url = stores.postgres_url
    build(url, tmp_path / "csv.csv", service="session_v1", entities=_asked(tmp_path), chunk_rows=1)
    build(url, tmp_path / "query.csv", service="session_v1", entity_query=query)
    assert (tmp_path / "csv.csv").read_bytes() == (tmp_path / "query.csv").read_bytes()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "session_v1 needs request data: session_mins (Float64). Label snapshots have none; bring rows"),
        ({"as_of": (date(2024, 1, 31),)}, "session_v1 needs request data: session_mins (Float64)"),
        ({"column": "minutes"}, "asked.csv lacks the request data session_mins (Float64), which the feature service"),
        ({"mins": {A: ""}}, "the entity rows have no session_mins, or one that is not finite, in some rows"),
        ({"mins": {A: 1.0, B: "NaN"}}, "the entity rows have no session_mins, or one that is not finite"),
        ({"mins": {A: "long"}}, "a value does not fit its column's type: In column session_mins"),
        ({"entity_query": f"SELECT '{A}' AS user_id, now() AS as_of"}, "--entity-query lacks the request data"),
        (
            {"entity_query": f"SELECT '{A}' AS user_id, now() AS as_of, true AS session_mins"},
            "--entity-query has the request data session_mins as bool, and the feature service takes Float64",
        ),
    ],
)
def test_entity_rows_without_request_data_are_refused(
    stores: OnlineStores, tmp_path: Path, request_: dict[str, Any], message: str
) -> None:
    file = {name: request_[name] for name in ("mins", "column") if name in request_}
    asked = {"entities": _asked(tmp_path, **file)} if file else request_
    with pytest.raises(JobError) as refused:
        build(stores.postgres_url, tmp_path / "out", service="session_v1", **asked)
    assert message in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_other_services_take_the_column_as_any_other(stores: OnlineStores, tmp_path: Path) -> None:
    report = build(stores.postgres_url, tmp_path / "out", entities=_asked(tmp_path, {A: ""}))
    assert report.manifest["request_data"] == {}
    assert read_rows(tmp_path / "out")[0]["session_mins"] is None


def test_applying_the_same_definitions_again_changes_nothing(stores: OnlineStores, tmp_path: Path) -> None:
    """Feast rewrites what it takes for changed, and then sets the time of the change."""

    def applied() -> tuple[Any, str]:
        apply_definitions(
            postgres_url=stores.postgres_url,
            redis_url=stores.redis_url,
            on_output=lambda _: None,
            contract_path=tmp_path / "contract.json",
        )
        with psycopg.connect(stores.postgres_url) as connection:
            rows = connection.execute(
                "SELECT feature_view_name, last_updated_timestamp, feature_view_proto"
                " FROM feast.on_demand_feature_views ORDER BY 1"
            ).fetchall()
        return rows, (tmp_path / "contract.json").read_text(encoding="utf-8")

    assert applied() == applied()
