"""The online store never goes back in time: of all rows of a view and key, the newest remains, whoever wrote when."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_repo.server.newest_wins import NewestWinsRedisOnlineStore
from streamflow_repo.settings.connections import ONLINE_STORE

_WRITERS = 4
_BOUND_S = 60
_JANUARY, _FEBRUARY = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)

_user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
_source = FileSource(name="unread", path="unread.parquet", timestamp_field="event_timestamp")
_VIEWS = [
    FeatureView(
        name=name, entities=[_user], schema=[Field(name="row", dtype=Int64), Field(name="copy", dtype=Int64)],
        source=_source,
    )
    for name in ("profile_fv", "usage_fv")
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row that a writer writes; `number` is the value of both features."""

    view: int
    user: str
    moment: datetime
    number: int = 0


Write = Callable[[Sequence[Row]], None]


@pytest.fixture
def url(redis_url: str) -> Iterator[str]:
    url = f"{redis_url}/7"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture(params=["sync", "async"])
def write(request: pytest.FixtureRequest, url: str) -> Write:
    """The write of a new store, by each of its two ways."""
    return writer(url, by=request.param)


def writer(url: str, *, by: str, **settings_of_store: Any) -> Write:
    store, config = NewestWinsRedisOnlineStore(), _config(url, **settings_of_store)

    def write(rows: Sequence[Row]) -> None:
        for number, view in enumerate(_VIEWS):
            batch = [_encoded(row) for row in rows if row.view == number]
            if by == "sync":
                store.online_write_batch(config, view, batch, None)
            else:
                asyncio.run(_write_async(store, config, view, batch))

    return write


async def _write_async(store: RedisOnlineStore, config: RepoConfig, view: FeatureView, batch: list[Any]) -> None:
    # One client an event loop: Feast keeps it for good and has no way to close it.
    try:
        await store.online_write_batch_async(config, view, batch, None)
    finally:
        client, store._client_async = store._client_async, None
        if client is not None:
            await client.aclose()


def _config(url: str, **settings_of_store: Any) -> RepoConfig:
    address, _, database = url.removeprefix("redis://").partition("/")
    return RepoConfig(
        project="newest",
        provider="local",
        registry={"registry_type": "file", "path": "unread.db"},
        online_store={"type": ONLINE_STORE, "connection_string": f"{address},db={database}", **settings_of_store},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )


def _encoded(row: Row) -> tuple[EntityKey, dict[str, Value], datetime, datetime | None]:
    key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=row.user)])
    value = Value(int64_val=row.number)
    return key, {"row": value, "copy": value}, row.moment, None


def stored(url: str) -> dict[tuple[int, str], tuple[datetime, int]]:
    """Return the event timestamp and number of what Redis has, by view and user; both features are of one row."""
    found = {}
    with redis.Redis.from_url(url) as client:
        keys: list[Any] = client.keys("*newest")
        for key in keys:
            fields: Any = client.hgetall(key)
            for number, view in enumerate(_VIEWS):
                if (stamp := fields.get(f"_ts:{view.name}".encode())) is None:
                    continue
                row, copy = (
                    Value.FromString(fields[_mmh3(f"{view.name}:{feature}")]).int64_val for feature in ("row", "copy")
                )
                assert row == copy
                user = key.removesuffix(b"newest")[-1:].decode()
                found[number, user] = (Timestamp.FromString(stamp).ToDatetime(UTC), row)
    return found


def test_an_older_row_leaves_a_newer_one(url: str, write: Write) -> None:
    write([Row(0, "a", _FEBRUARY, 2)])
    write([Row(0, "a", _JANUARY, 1), Row(0, "b", _JANUARY, 1)])
    assert stored(url) == {(0, "a"): (_FEBRUARY, 2), (0, "b"): (_JANUARY, 1)}


def test_a_newer_row_and_a_correction_are_written(url: str, write: Write) -> None:
    write([Row(0, "a", _JANUARY, 1), Row(0, "b", _JANUARY, 1)])
    write([Row(0, "a", _FEBRUARY, 2), Row(0, "b", _JANUARY, 11)])
    assert stored(url) == {(0, "a"): (_FEBRUARY, 2), (0, "b"): (_JANUARY, 11)}


def test_views_of_one_user_are_judged_each_by_its_own_rows(url: str, write: Write) -> None:
    write([Row(0, "a", _FEBRUARY, 2), Row(1, "a", _JANUARY, 1)])
    write([Row(0, "a", _JANUARY, 3), Row(1, "a", _FEBRUARY, 4)])
    assert stored(url) == {(0, "a"): (_FEBRUARY, 2), (1, "a"): (_FEBRUARY, 4)}


def test_the_newest_of_several_rows_in_one_batch_remains_and_of_equal_ones_the_last(url: str, write: Write) -> None:
    write([Row(0, "a", _FEBRUARY, 1), Row(0, "a", _FEBRUARY, 2), Row(0, "a", _JANUARY, 3)])
    assert stored(url) == {(0, "a"): (_FEBRUARY, 2)}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        pytest.param(_FEBRUARY, _FEBRUARY + timedelta(microseconds=1), id="a microsecond"),
        pytest.param(_FEBRUARY - timedelta(microseconds=1), _FEBRUARY, id="no fraction"),
        pytest.param(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), id="the epoch"),
        pytest.param(datetime(1969, 12, 31, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), id="before the epoch"),
        pytest.param(datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC), id="the first year"),
        pytest.param(
            datetime(9999, 12, 31, tzinfo=UTC), datetime(9999, 12, 31, 0, 0, 1, tzinfo=UTC), id="the last year"
        ),
    ],
)
def test_order_is_that_of_all_event_timestamps(url: str, write: Write, older: datetime, newer: datetime) -> None:
    for first, second in ((older, newer), (newer, older)):
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        write([Row(0, "a", first, 1)])
        write([Row(0, "a", second, 2)])
        assert stored(url) == {(0, "a"): (newer, 2 if second == newer else 1)}


@pytest.mark.parametrize("stamp", [b"\xff", b"\x08", b"\x1a\x00", b"\x08\xff\xff"])
def test_bytes_that_are_no_timestamp_are_replaced(url: str, write: Write, stamp: bytes) -> None:
    write([Row(0, "a", _FEBRUARY, 1)])
    with redis.Redis.from_url(url) as client:
        [key] = client.keys("*newest")
        client.hset(key, f"_ts:{_VIEWS[0].name}", stamp)
    write([Row(0, "a", _JANUARY, 2)])
    assert stored(url) == {(0, "a"): (_JANUARY, 2)}


def test_a_redis_that_has_forgotten_the_script_gets_the_script_again(url: str, write: Write) -> None:
    with redis.Redis.from_url(url) as client:
        client.script_flush()
        write([Row(0, "a", _FEBRUARY, 2)])
        assert stored(url) == {(0, "a"): (_FEBRUARY, 2)}
        client.script_flush()
    write([Row(0, "a", _JANUARY, 1)])
    assert stored(url) == {(0, "a"): (_FEBRUARY, 2)}


@pytest.mark.parametrize("by", ["sync", "async"])
def test_a_row_that_is_written_starts_the_keys_time_to_live_again(url: str, by: str) -> None:
    with redis.Redis.from_url(url) as client:
        writer(url, by=by, key_ttl_seconds=1000)([Row(0, "a", _FEBRUARY)])
        [key] = client.keys("*newest")
        assert 990 <= client.ttl(key) <= 1000
        longer = writer(url, by=by, key_ttl_seconds=5000)
        longer([Row(0, "a", _JANUARY)])
        assert client.ttl(key) <= 1000
        longer([Row(0, "a", _FEBRUARY)])
        assert 4990 <= client.ttl(key) <= 5000


@pytest.mark.parametrize("by", ["sync", "async"])
def test_skip_dedup_writes_over_whatever_is_there(url: str, by: str) -> None:
    write = writer(url, by=by, skip_dedup=True)
    write([Row(0, "a", _FEBRUARY, 2)])
    write([Row(0, "a", _JANUARY, 1)])
    assert stored(url) == {(0, "a"): (_JANUARY, 1)}


def test_rows_that_are_left_out_are_told_once_for_each_view(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write([Row(0, "a", _FEBRUARY), Row(1, "a", _JANUARY)])
    for _ in range(3):
        write([Row(0, "a", _JANUARY), Row(0, "b", _JANUARY), Row(1, "a", _JANUARY)])
    [said] = caplog.messages
    assert said.startswith("older rows left out: ")
    assert said.endswith(" view=profile_fv count=1 rows=2")
    assert "`offline materialize --as-of TIME`" in said


def test_all_rows_are_counted_as_progress(url: str) -> None:
    store, done = NewestWinsRedisOnlineStore(), list[int]()
    for moment in (_FEBRUARY, _JANUARY):
        batch = [_encoded(Row(0, user, moment)) for user in "ab"]
        store.online_write_batch(_config(url, key_ttl_seconds=100), _VIEWS[0], batch, done.append)
    assert done == [2, 2]


_rows = st.lists(
    st.builds(
        Row,
        view=st.integers(0, 1),
        user=st.sampled_from("abc"),
        moment=st.integers(0, 20).map(lambda day: _JANUARY + timedelta(days=day)),
    ),
    min_size=_WRITERS,
    max_size=200,
)


@given(rows=_rows)
@settings(max_examples=60)
def test_the_newest_row_of_each_view_and_user_remains_however_writers_cross(redis_url: str, rows: list[Row]) -> None:
    url = f"{redis_url}/8"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    numbered = [Row(row.view, row.user, row.moment, number) for number, row in enumerate(rows)]
    together = threading.Barrier(_WRITERS)

    def write(part: int) -> None:
        mine = numbered[part::_WRITERS]
        write = writer(url, by=("sync", "async")[part % 2])
        together.wait(_BOUND_S)
        for start in range(0, len(mine), 5):
            write(mine[start : start + 5])

    with ThreadPoolExecutor(_WRITERS) as pool:
        for done in [pool.submit(write, part) for part in range(_WRITERS)]:
            done.result(_BOUND_S)

    written: dict[tuple[int, str], list[tuple[datetime, int]]] = defaultdict(list)
    for row in numbered:
        written[row.view, row.user].append((row.moment, row.number))
    found = stored(url)
    assert found.keys() == written.keys()
    for where, (moment, number) in found.items():
        assert moment == max(moment for moment, _ in written[where])
        assert (moment, number) in written[where]
