"""Each row has what was true at its time: held against plain Python over generated histories, and against Feast."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import FeatureService, FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_local import postgres
from streamflow_offline.feast_store import open_store
from streamflow_repo.definitions.entities import user
from training_sets import UNUSED_REDIS_URL, apply_objects, build, execute, query, read_rows

START = datetime(2024, 1, 1, tzinfo=UTC)
TTL = timedelta(days=2)
USERS = ("u", "v", "w")

balance_fv = FeatureView(
    name="balance_fv",
    entities=[user],
    ttl=TTL,
    schema=[Field(name="amount", dtype=Float64), Field(name="overdrawn", dtype=Bool)],
    source=PostgreSQLSource(
        name="balances", table="balances", timestamp_field="at", created_timestamp_column="written_at"
    ),
)
plan_fv = FeatureView(
    name="plan_fv",
    entities=[user],
    ttl=timedelta(0),
    schema=[Field(name="plan", dtype=String), Field(name="seats", dtype=Int64)],
    source=PostgreSQLSource(name="plans", table="plans", timestamp_field="day", created_timestamp_column="written_at"),
)
kinds_fv = FeatureView(
    name="kinds_fv",
    entities=[user],
    ttl=timedelta(seconds=1.5),
    schema=[
        Field(name="int32", dtype=Int32),
        Field(name="float32", dtype=Float32),
        Field(name="bytes", dtype=Bytes),
        Field(name="moment", dtype=UnixTimestamp),
        Field(name="number", dtype=Float64),
    ],
    source=PostgreSQLSource(name="kinds", table="kinds", timestamp_field="at"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a source."""

    user_id: str | None
    at: datetime | None
    written_at: datetime | None
    features: tuple[Any, Any]


@pytest.fixture(scope="module")
def url(postgres_socket_dir: Path) -> str:
    """Sources whose rows may tie and lack keys, with features of a ttl and of none."""
    postgres.create_database(postgres_socket_dir, "point_in_time")
    url = postgres.url(postgres_socket_dir, "point_in_time")
    execute(
        url,
        "CREATE TABLE balances (user_id text, at timestamptz, written_at timestamptz, amount float8, overdrawn bool)",
        "CREATE TABLE plans (user_id text, day date, written_at timestamptz, plan text, seats int)",
        "CREATE TABLE kinds (user_id text, at timestamp, int32 bigint, float32 float8, bytes bytea,"
        " moment timestamptz, number numeric)",
        "CREATE INDEX ON balances (user_id, at)",
    )
    views = [balance_fv, plan_fv, kinds_fv]
    services = [
        FeatureService(name="history_v1", features=[balance_fv, plan_fv]),
        FeatureService(name="kinds_v1", features=[kinds_fv]),
    ]
    apply_objects(url, [user, *views, *services])
    return url


def oracle(
    history: Sequence[Row], *, user_id: str | None, at: datetime, ttl: timedelta | None
) -> list[tuple[Any, Any]]:
    """Return what a row's features may be: several only where rows tie in all that orders them."""
    seen = [
        row
        for row in history
        if row.user_id is not None
        and row.user_id == user_id
        and row.at is not None
        and row.at <= at
        and (ttl is None or row.at >= at - ttl)
    ]
    if not seen:
        return [(None, None)]

    def order(row: Row) -> tuple[Any, ...]:
        return (row.at, row.written_at is not None, row.written_at or START)

    newest = max(map(order, seen))
    return [row.features for row in seen if order(row) == newest]


# A coarse grid, so that rows tie with each other, with entity rows and with the edges of the ttl, and a fine one.
_HOURS = st.integers(0, 12).map(lambda n: START + timedelta(hours=12 * n))
_TIMES = st.one_of(
    _HOURS,
    _HOURS.map(lambda time: time + timedelta(microseconds=1)),
    _HOURS.map(lambda time: time - timedelta(microseconds=1)),
)
_WRITTEN = st.none() | st.integers(0, 2).map(lambda n: START + timedelta(days=30 * n))
_KEYS = st.sampled_from([*USERS, "gone", None])
_ROWS = st.builds(
    Row,
    user_id=_KEYS,
    at=_TIMES | st.none(),
    written_at=_WRITTEN,
    features=st.tuples(st.none() | st.floats(allow_nan=False, width=32), st.none() | st.booleans()),
)
_PLANS = st.builds(
    Row,
    user_id=_KEYS,
    at=st.integers(0, 6).map(lambda n: START + timedelta(days=n)),
    written_at=_WRITTEN,
    features=st.tuples(st.none() | st.sampled_from(["", "basic", "a,b\n\"c'\\N"]), st.none() | st.integers(-9, 9)),
)
_OFFSETS = st.sampled_from([0, 60, -300, 345, 840]).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_ASKED = st.lists(
    st.tuples(st.sampled_from([*USERS, "nobody", None]), _TIMES, _OFFSETS, st.none() | st.booleans()),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[:2],
)


def load(url: str, balances: Sequence[Row], plans: Sequence[Row]) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE balances, plans")
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO balances VALUES (%s, %s, %s, %s, %s)",
                [(row.user_id, row.at, row.written_at, *row.features) for row in balances],
            )
            cursor.executemany(
                "INSERT INTO plans VALUES (%s, %s::timestamp, %s, %s, %s)",
                [(row.user_id, row.at and row.at.replace(tzinfo=None), row.written_at, *row.features) for row in plans],
            )


@settings(max_examples=40)
@given(
    balances=st.lists(_ROWS, max_size=25),
    plans=st.lists(_PLANS, max_size=25),
    asked=_ASKED,
    chunk_rows=st.integers(1, 5),
)
def test_every_row_has_what_plain_python_finds(  # noqa: PLR0917  # hypothesis and pytest name them
    url: str,
    tmp_path_factory: pytest.TempPathFactory,
    balances: list[Row],
    plans: list[Row],
    asked: list[tuple[str | None, datetime, timezone, bool | None]],
    chunk_rows: int,
) -> None:
    load(url, balances, plans)
    folder = tmp_path_factory.mktemp("history")
    lines = [
        f"{user_id or ''},{at.astimezone(offset).isoformat()},{'' if label is None else label}\n"
        for user_id, at, offset, label in asked
    ]
    (folder / "asked.csv").write_text("user_id,timestamp,churn_label\n" + "".join(lines), encoding="utf-8")

    build(url, folder / "out", service="history_v1", entities=folder / "asked.csv", chunk_rows=chunk_rows)

    rows = sorted(read_rows(folder / "out"), key=lambda row: row["entity_row"])
    assert [row["entity_row"] for row in rows] == list(range(len(asked)))
    for row, (user_id, at, _, label) in zip(rows, asked, strict=True):
        assert (row["user_id"], row["event_timestamp"], row["churn_label"]) == (user_id, at, label)
        assert row["as_of"] == at.date().isoformat()
        assert (row["amount"], row["overdrawn"]) in oracle(balances, user_id=user_id, at=at, ttl=TTL)
        assert (row["plan"], row["seats"]) in oracle(plans, user_id=user_id, at=at, ttl=None)


def test_a_long_history_gives_what_feasts_own_join_gives(url: str, tmp_path: Path) -> None:
    draw = random.Random(0)  # noqa: S311  # test data
    users = [f"user-{number}" for number in range(40)]
    # Feast's own join repeats rows for ties in all of key, event and created time, so there are none.
    moments = draw.sample(range(60 * 24 * 60), 1500)
    balances = [
        Row(
            user_id=draw.choice(users),
            at=START + timedelta(hours=minute // 60),
            written_at=START + timedelta(minutes=minute),
            features=(draw.choice([None, draw.random()]), draw.choice([None, True, False])),
        )
        for minute in moments
    ]
    plans = [
        Row(
            user_id=draw.choice(users),
            at=START + timedelta(days=minute // 1440),
            written_at=START + timedelta(minutes=minute),
            features=(draw.choice([None, "a", "b"]), draw.choice([None, 1, 2])),
        )
        for minute in moments
    ]
    load(url, balances, plans)
    asked = sorted(
        {(draw.choice([*users, "nobody"]), START + timedelta(hours=draw.randrange(60 * 24))) for _ in range(600)}
    )
    entities = tmp_path / "asked.csv"
    entities.write_text(
        "user_id,timestamp\n" + "".join(f"{user_id},{at.isoformat()}\n" for user_id, at in asked), encoding="utf-8"
    )
    build(url, tmp_path / "out", service="history_v1", entities=entities, chunk_rows=100)

    with open_store(postgres_url=url, redis_url=UNUSED_REDIS_URL) as store:
        frame = pd.DataFrame(asked, columns=["user_id", "event_timestamp"])
        theirs = store.get_historical_features(
            entity_df=frame, features=store.get_feature_service("history_v1")
        ).to_arrow()

    names = ["user_id", "amount", "overdrawn", "plan", "seats"]

    def comparable(row: dict[str, Any]) -> str:
        # Feast's times are in UTC and do not say so.
        return repr([row["event_timestamp"].replace(tzinfo=UTC).timestamp(), *(row[name] for name in names)])

    ours = read_rows(tmp_path / "out")
    assert len(ours) == len(asked)
    assert sorted(map(comparable, ours)) == sorted(map(comparable, theirs.to_pylist()))
    assert sum(row["amount"] is not None for row in ours) > 50
    assert query(url, "SELECT relname FROM pg_class WHERE relname LIKE 'feast_entity_df%'") == []


def test_the_edges_of_a_ttl_and_of_a_rows_time_count_as_within(url: str, tmp_path: Path) -> None:
    moment = datetime(2024, 5, 1, 12, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    load(
        url,
        [
            Row(user_id=user_id, at=at, written_at=None, features=(1.0, True))
            for user_id, at in [
                ("at", moment),
                ("after", moment + tick),
                ("oldest", moment - TTL),
                ("too_old", moment - TTL - tick),
            ]
        ],
        [Row(user_id="ancient", at=datetime(1990, 1, 1, tzinfo=UTC), written_at=None, features=("old", 1))],
    )
    users = ("at", "after", "oldest", "too_old", "ancient")
    entities = tmp_path / "asked.csv"
    entities.write_text("user_id,timestamp\n" + "".join(f"{u},{moment.isoformat()}\n" for u in users), encoding="utf-8")

    build(url, tmp_path / "out", service="history_v1", entities=entities)

    rows = {row["user_id"]: row for row in read_rows(tmp_path / "out")}
    assert {user_id: rows[user_id]["amount"] for user_id in users} == {
        "at": 1.0,
        "after": None,
        "oldest": 1.0,
        "too_old": None,
        "ancient": None,
    }
    assert rows["ancient"]["plan"] == "old"


def test_every_type_of_the_contract_arrives_exactly(url: str, tmp_path: Path) -> None:
    execute(
        url,
        "TRUNCATE kinds",
        r"INSERT INTO kinds VALUES ('u', '2024-05-01 12:00:00.5', -2147483648, 29.85, '\x00ff', "
        "'2024-05-01 01:02:03.000004+02', 9.6), ('v', '2024-05-01 12:00:00', 1, 'Infinity', '', NULL, NULL),"
        " ('w', '2024-05-01 12:00:00.499999', 1, 1, '', NULL, 1)",
    )
    entities = tmp_path / "asked.csv"
    entities.write_text("user_id,timestamp\n" + "".join(f"{u},2024-05-01T12:00:02\n" for u in USERS), encoding="utf-8")

    report = build(url, tmp_path / "out", service="kinds_v1", entities=entities)
    build(url, tmp_path / "out.csv", service="kinds_v1", entities=entities)

    rows = read_rows(tmp_path / "out")
    values = ("int32", "float32", "bytes", "moment", "number")
    moment = datetime(2024, 4, 30, 23, 2, 3, 4, tzinfo=UTC)
    assert [tuple(row[name] for name in values) for row in rows] == [
        (-2147483648, 29.850000381469727, b"\x00\xff", moment, 9.6),
        (None,) * 5,
        (None,) * 5,
    ]
    assert {name: report.manifest["columns"][name] for name in values} == {
        "int32": "int32",
        "float32": "float",
        "bytes": "binary",
        "moment": "timestamp[us, tz=UTC]",
        "number": "double",
    }
    assert report.manifest["features"]["moment"]["max"] == moment.isoformat()
    line = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[1]
    assert line.endswith(',-2147483648,29.85,"AP8=",2024-04-30 23:02:03.000004Z,9.6')
    assert date.fromisoformat(line[:10]) == date(2024, 5, 1)


def test_a_value_that_its_type_cannot_hold_is_refused(url: str, tmp_path: Path) -> None:
    execute(url, "TRUNCATE kinds", "INSERT INTO kinds VALUES ('u', '2024-05-01', 3000000000)")
    entities = tmp_path / "asked.csv"
    entities.write_text("user_id,as_of\nu,2024-05-01\n", encoding="utf-8")

    with pytest.raises(Exception, match=r"a value does not fit its column's type: .*column int32.*'3000000000'"):
        build(url, tmp_path / "out", service="kinds_v1", entities=entities)
