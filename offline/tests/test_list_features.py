"""Features that are lists: in a training set, in Redis, and the same in both."""

import csv
import json
import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureService, FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from online_stores import OnlineStores
from streamflow_features import FeatureStatus
from streamflow_local import postgres
from streamflow_offline.audit.compare import Feature, OnlineCell, differences
from streamflow_offline.audit.offline_side import OfflineSide
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import connected, open_store
from streamflow_repo.definitions.entities import user
from training_sets import UNUSED_REDIS_URL, apply_objects, build, execute, read_rows, read_schema

_DAY = datetime(2024, 5, 1, tzinfo=UTC)
_MOMENT = datetime(2024, 4, 30, 23, 2, 3, tzinfo=UTC)
_EMBEDDING = [position / 7 for position in range(768)]
_EMBEDDING_32 = list(struct.unpack("768f", struct.pack("768f", *_EMBEDDING)))

_TYPES = {
    "bools": (Bool, "bool[]", pa.bool_()),
    "int32s": (Int32, "int[]", pa.int32()),
    "int64s": (Int64, "bigint[]", pa.int64()),
    "float32s": (Float32, "real[]", pa.float32()),
    "float64s": (Float64, "float8[]", pa.float64()),
    "numbers": (Float64, "numeric[]", pa.float64()),
    "texts": (String, "text[]", pa.string()),
    "byte_strings": (Bytes, "bytea[]", pa.binary()),
    "moments": (UnixTimestamp, "timestamptz[]", pa.timestamp("us", tz="UTC")),
}

lists_fv = FeatureView(
    name="lists_fv",
    entities=[user],
    ttl=timedelta(0),
    schema=[Field(name=name, dtype=Array(of)) for name, (of, _, _) in _TYPES.items()],
    source=PostgreSQLSource(name="lists", table="lists", timestamp_field="at", created_timestamp_column="written_at"),
)

_FULL: dict[str, list[Any]] = {
    "bools": [True, False],
    "int32s": [-(2**31), 2**31 - 1],
    "int64s": [-(2**63), 2**63 - 1],
    "float32s": _EMBEDDING_32,
    "float64s": [*_EMBEDDING, 5e-324, math.inf, -0.0],
    "numbers": [3.0, 29.85],
    "texts": ['a "quoted", {braced}\\\n', "naïve 名", ""],
    "byte_strings": [b"\x00\xff", b""],
    "moments": [_MOMENT, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)],
}


@pytest.fixture(scope="module")
def url(postgres_socket_dir: Path) -> str:
    """A table of users with full, empty, null and partly null lists."""
    postgres.create_database(postgres_socket_dir, "lists")
    url = postgres.url(postgres_socket_dir, "lists")
    columns = ", ".join(f"{name} {source}" for name, (_, source, _) in _TYPES.items())
    execute(url, f"CREATE TABLE lists (user_id text, at timestamptz, written_at timestamptz, {columns})")
    with connected(url) as connection:
        rows: dict[str, dict[str, list[Any] | None]] = {
            "full": {**_FULL},
            "empty": {name: [] for name in _TYPES},
            "null": dict.fromkeys(_TYPES),
        }
        for user_id, lists in rows.items():
            places = ", ".join(f"%s::{source}" for _, source, _ in _TYPES.values())
            insert = f"INSERT INTO lists VALUES (%s, %s, now(), {places})"
            connection.execute(insert.encode(), [user_id, _DAY, *(lists[name] for name in _TYPES)])
    apply_objects(url, [user, lists_fv, FeatureService(name="lists_v1", features=[lists_fv])])
    return url


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "asked.csv"
    path.write_text("user_id,as_of\n" + "".join(f"{u},2024-05-02\n" for u in ("full", "empty", "null")), "utf-8")
    return path


def test_a_training_set_has_lists_as_they_are_in_postgresql(url: str, asked: Path, tmp_path: Path) -> None:
    report = build(url, tmp_path / "out", service="lists_v1", entities=asked)

    full, empty, null = ({name: row[name] for name in _TYPES} for row in read_rows(tmp_path / "out"))
    assert full == _FULL
    # -0.0 equals 0.0.
    assert repr(full["float64s"]) == repr(_FULL["float64s"])
    assert empty == {name: [] for name in _TYPES}
    assert null == dict.fromkeys(_TYPES)
    schema = read_schema(tmp_path / "out")
    assert {name: schema.field(name).type.value_type for name in _TYPES} == {n: of for n, (_, _, of) in _TYPES.items()}
    assert report.manifest["features"]["float64s"] == {
        "dtype": "List(Float64)",
        "null_share": pytest.approx(1 / 3),
        "min": None,
        "mean": None,
        "max": None,
    }


def test_a_csv_has_lists_as_json(url: str, asked: Path, tmp_path: Path) -> None:
    build(url, tmp_path / "out.csv", service="lists_v1", entities=asked)

    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        full, empty, null = csv.DictReader(file)
    assert json.loads(full["float64s"]) == _FULL["float64s"]
    assert json.loads(full["texts"]) == _FULL["texts"]
    assert json.loads(full["byte_strings"]) == ["AP8=", ""]
    assert json.loads(full["moments"]) == ["2024-04-30T23:02:03+00:00", "1969-12-31T23:59:59+00:00"]
    assert {empty[name] for name in _TYPES} == {"[]"}
    assert {null[name] for name in _TYPES} == {""}


def test_null_elements_stay_null_in_a_training_set(url: str, tmp_path: Path) -> None:
    nulls = ", ".join(f"ARRAY[NULL]::{source}" for _, source, _ in _TYPES.values())
    execute(url, f"INSERT INTO lists VALUES ('nulls', '2024-05-01', now(), {nulls})")
    asked = tmp_path / "asked.csv"
    asked.write_text("user_id,as_of\nnulls,2024-05-02\n", "utf-8")

    build(url, tmp_path / "out", service="lists_v1", entities=asked)
    execute(url, "DELETE FROM lists WHERE user_id = 'nulls'")

    [row] = read_rows(tmp_path / "out")
    assert {name: row[name] for name in _TYPES} == {name: [None] for name in _TYPES}


@pytest.mark.parametrize(("column", "value"), [("int64s", "{{1},{2}}"), ("moments", "{infinity}")])
def test_a_list_that_its_type_cannot_hold_is_refused(url: str, tmp_path: Path, column: str, value: str) -> None:
    execute(url, f"INSERT INTO lists (user_id, at, {column}) VALUES ('odd', '2024-05-01', '{value}')")
    asked = tmp_path / "asked.csv"
    asked.write_text("user_id,as_of\nodd,2024-05-02\n", "utf-8")
    try:
        with pytest.raises(JobError, match=rf"a value does not fit its column's type: .* in column {column};"):
            build(url, tmp_path / "out", service="lists_v1", entities=asked)
    finally:
        execute(url, "DELETE FROM lists WHERE user_id = 'odd'")


@pytest.fixture
def stores(url: str, redis_url: str) -> Iterator[OnlineStores]:
    stores = OnlineStores(url, f"{redis_url}/5")
    with stores.redis() as client:
        client.flushdb()
        yield stores
        client.flushdb()


def test_what_materialize_brings_to_redis_does_not_differ_from_what_training_reads(stores: OnlineStores) -> None:
    users = ["full", "empty", "null"]
    assert stores.written(views=["lists_fv"]) == {"lists_fv": 3}

    features = [
        Feature(view="lists_fv", name=n, dtype=f"List({of})", max_age_s=None) for n, (of, _, _) in _TYPES.items()
    ]
    with (
        connected(stores.postgres_url) as connection,
        open_store(postgres_url=stores.postgres_url, redis_url=UNUSED_REDIS_URL) as store,
    ):
        connection.execute("SET TIME ZONE 'UTC'")
        service = store.get_feature_service("lists_v1")
        side = OfflineSide(store, connection, service=service, join_key="user_id", features=features)
        cells = side.read(users, at=datetime.now(UTC))
    for position, feature in enumerate(features):
        for user_id, served in zip(users, stores.served(users, feature.reference), strict=True):
            offline = cells[user_id][position]
            online = OnlineCell(
                value=None if served is None else tuple(served),
                event_timestamp=_DAY,
                status=FeatureStatus.NULL_VALUE if served is None else FeatureStatus.PRESENT,
            )
            assert offline.value is None or len(offline.value) == len(served)
            assert differences(feature.dtype, offline, online) == set(), (feature.name, user_id)
