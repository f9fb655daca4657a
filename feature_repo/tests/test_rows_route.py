"""The route /rows/v1 of a running server answers with what Redis holds, and fails as /get-online-features does."""

import json
import random
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pandas as pd
import pytest
import redis
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType, types
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_server import BOUND_S, Server, repository, serving
from streamflow_local.waiting import wait_until
from streamflow_repo.server.rows.route import MAX_BYTES, MAX_ROWS

_SOURCE = FileSource(name="unread", path="unread.parquet", timestamp_field="event_timestamp")
_user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
_plan = Entity(name="plan", join_keys=["plan_id"], value_type=ValueType.INT64)
_day = Entity(name="day", join_keys=["day_no"], value_type=ValueType.INT32)

# The field of a feast.types.Value for each type, and what makes one.
_KINDS: dict[str, tuple[Any, str, Any]] = {
    "i32": (types.Int32, "int32_val", lambda r: r.randrange(-(2**31), 2**31)),
    "i64": (types.Int64, "int64_val", lambda r: r.randrange(-(2**63), 2**63)),
    "f32": (types.Float32, "float_val", lambda r: r.random()),
    "f64": (types.Float64, "double_val", lambda r: r.choice([r.random(), float("inf"), 0.0])),
    "s": (types.String, "string_val", lambda r: r.choice(["", "é\n", "x" * 300])),
    "b": (types.Bytes, "bytes_val", lambda r: r.randbytes(r.randrange(20))),
    "t": (types.Bool, "bool_val", lambda r: r.random() < 0.5),
    "u": (types.UnixTimestamp, "unix_timestamp_val", lambda r: r.randrange(2**31)),
    "li64": (types.Array(types.Int64), "int64_list_val", lambda r: {"val": [r.randrange(9) for _ in range(3)]}),
    "ls": (types.Array(types.String), "string_list_val", lambda r: {"val": ["a", "", "é"][: r.randrange(4)]}),
    "lf": (types.Array(types.Float32), "float_list_val", lambda r: {"val": [r.random()]}),
}


def _view(name: str, entities: list[Entity], kinds: list[str]) -> FeatureView:
    fields = [Field(name=kind, dtype=_KINDS[kind][0]) for kind in kinds]
    keys = {
        ValueType.STRING: types.String,
        ValueType.INT64: types.Int64,
        ValueType.INT32: types.Int32,
    }
    fields += [Field(name=entity.join_key, dtype=keys[entity.value_type]) for entity in entities]
    return FeatureView(name=name, entities=entities, schema=fields, source=_SOURCE)


_ALL = _view("all_fv", [_user], list(_KINDS))
_MORE = _view("more_fv", [_user], ["f64", "s"])
_PRICE = _view("price_fv", [_plan], ["f64", "i64"])
_BOTH = _view("both_fv", [_user, _plan, _day], ["s"])
# Of one row, which Feast names itself.
_EVERYWHERE = _view("everywhere_fv", [], ["s", "i64"])
_VIEWS = (_ALL, _MORE, _PRICE, _BOTH, _EVERYWHERE)


@on_demand_feature_view(sources=[_MORE], schema=[Field(name="twice", dtype=types.Float64)], mode="pandas")  # type: ignore[untyped-decorator]  # Feast's
def twice_fv(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"twice": 2 * inputs["f64"]})


_NAMED = FeatureService(name="named_v1", features=[_MORE.with_name("other_name")])
_REFERENCES = [f"{view.name}:{field.name}" for view in _VIEWS for field in view.features]


@pytest.fixture(scope="module")
def server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("rows")
    store = repository(folder, redis_url.removeprefix("redis://"))
    with warnings.catch_warnings():
        # On-demand views are experimental, says Feast.
        warnings.simplefilter("ignore", RuntimeWarning)
        store.apply([_user, _plan, _day, *_VIEWS, twice_fv, _NAMED])
    _fill(store)
    with serving(store, folder) as server:
        yield server


_USERS = ["a", "b", "é", "nobody", "a"]
_PLANS = [1, -(2**63), 1, 7, 2]
_DAYS = [-5, 2, 2, 2, 2]
_COLUMNS: dict[str, list[Any]] = {"user_id": _USERS, "plan_id": _PLANS, "day_no": _DAYS}


def _key(view: FeatureView, row: int) -> EntityKey:
    values = {
        "user_id": Value(string_val=_USERS[row]),
        "plan_id": Value(int64_val=_PLANS[row]),
        "day_no": Value(int32_val=_DAYS[row]),
        DUMMY_ENTITY_ID: Value(string_val=DUMMY_ENTITY_VAL),
    }
    names = [entity.name for entity in view.entity_columns]
    return EntityKey(join_keys=names, entity_values=[values[name] for name in names])


def _fill(store: FeatureStore) -> None:
    drawn = random.Random(1)  # noqa: S311  # no secret
    online_store = store._get_provider().online_store
    for view in _VIEWS:
        rows: list[Any] = []
        for row, user in enumerate(_USERS[:-1]):
            if user == "nobody" or (view is _MORE and user == "b"):
                continue
            values = {}
            for field in view.features:
                _, name, make = _KINDS[field.name]
                values[field.name] = Value() if drawn.random() < 0.2 else Value(**{name: make(drawn)})
            moment = datetime(2024, 2, row + 1, 3, 4, 5, 6000, tzinfo=UTC)
            rows.append((_key(view, row), values, moment, None))
        online_store.online_write_batch(store.config, store.get_feature_view(view.name), rows, None)


def test_rows_are_what_feasts_own_store_returns(server: Server) -> None:
    references = [*_REFERENCES]
    random.Random(2).shuffle(references)  # noqa: S311  # no secret
    views, rows = server.rows(references, _COLUMNS)
    online_store: Any = server.store._get_provider().online_store
    assert views == list(dict.fromkeys(reference.partition(":")[0] for reference in references))
    assert len(rows) == len(_USERS)
    present = 0
    for number, row in enumerate(rows):
        stamps, values = row[: len(views)], dict(zip(references, row[len(views) :], strict=True))
        for view, stamp in zip(views, stamps, strict=True):
            table = server.store.get_feature_view(view)
            names = [reference.partition(":")[2] for reference in references if reference.startswith(f"{view}:")]
            ((moment, feasts),) = online_store.online_read(
                server.store.config, table, [_key(table, number)], list(names)
            )
            assert Timestamp.FromString(stamp or b"").ToDatetime(UTC) == moment
            assert {name: Value.FromString(values[f"{view}:{name}"] or b"") for name in names} == feasts
            present += sum(value.WhichOneof("val") is not None for value in feasts.values())
    assert present > len(references)


@pytest.mark.parametrize(
    ("references", "columns"),
    [
        pytest.param(["all_fv:gone"], {"user_id": ["a"]}, id="unknown feature"),
        pytest.param(["gone_fv:s"], {"user_id": ["a"]}, id="unknown view"),
        pytest.param(["all_fv"], {"user_id": ["a"]}, id="malformed reference"),
        pytest.param([], {"user_id": ["a"]}, id="no features"),
        pytest.param(["all_fv:s", "all_fv:s"], {"user_id": ["a"]}, id="the same feature twice"),
        pytest.param(["all_fv:s"], {}, id="no columns"),
        pytest.param(["all_fv:s"], {"user_id": []}, id="no rows"),
        pytest.param(["all_fv:s"], {"plan_id": [1]}, id="missing join key"),
        pytest.param(["all_fv:s", "price_fv:f64"], {"user_id": ["a", "b"], "plan_id": [1]}, id="ragged columns"),
        pytest.param(["all_fv:s"], {"user_id": ["a", None]}, id="a null"),
        pytest.param(["price_fv:f64"], {"plan_id": ["one"]}, id="text for a number"),
        pytest.param(["both_fv:s"], {"user_id": ["a"], "plan_id": [1], "day_no": [2**31]}, id="too large a number"),
    ],
)
def test_errors_are_feasts(server: Server, references: list[str], columns: dict[str, list[Any]]) -> None:
    status, content_type, body = server.post(references, columns)
    assert (status, body) == (*server.feasts(references, columns),)
    assert content_type == "application/json"
    assert status >= 400


@pytest.mark.parametrize(
    "reference",
    [
        *("all_fv@v1:s", "all_fv@v2:s", "all_fv@latest:s", "all_fv@v0:s", "all_fv@:s", "all_fv@x:s", "@v1:s"),
        *("gone_fv@v1:s", "all_fv@v1:gone", "all_fv:s@v1", "all_fv@v1"),
    ],
)
def test_a_reference_with_a_version_is_taken_as_feast_takes_it(server: Server, reference: str) -> None:
    status, _, body = server.post([reference], {"user_id": ["a", "nobody"]})
    feasts_status, feasts = server.feasts([reference], {"user_id": ["a", "nobody"]})
    assert status == feasts_status
    if status != 200:
        assert body == feasts
        return
    values = [Value.FromString(row[1] or b"") for row in msgspec.msgpack.decode(body)[1]]
    feasts_values = json.loads(feasts)["results"][1]["values"]
    assert [value.string_val if value.HasField("string_val") else None for value in values] == feasts_values


def test_computed_features_are_refused_and_their_sources_are_not(server: Server) -> None:
    status, _, body = server.post(["twice_fv:twice"], {"user_id": ["a"]})
    assert (status, json.loads(body)) == (
        422,
        {"detail": "On-demand feature views are not stored; ask /get-online-features"},
    )
    assert server.post(["more_fv:f64", "twice_fv:twice"], {"user_id": ["a"]})[0] == 422
    assert server.feasts(["twice_fv:twice"], {"user_id": ["a"]})[0] == 200
    assert server.post(["more_fv:f64"], {"user_id": ["a"]})[0] == 200


def test_the_names_of_a_service_are_not_those_of_views(server: Server) -> None:
    """Features under other names are asked for through their service, which the route does not know."""
    for reference in ("named_v1:s", "other_name:s"):
        status, _, body = server.post([reference], {"user_id": ["a"]})
        assert (status, body) == server.feasts([reference], {"user_id": ["a"]})
        assert status == 404


def test_keys_that_feast_converts_find_the_same_rows(server: Server) -> None:
    server.store._get_provider().online_store.online_write_batch(
        server.store.config,
        server.store.get_feature_view("more_fv"),
        [(EntityKey(join_keys=["user_id"], entity_values=[Value(string_val="7")]), {"s": Value(string_val="seven")},
          datetime(2024, 1, 1, tzinfo=UTC), None)],
        None,
    )  # fmt: skip
    _, rows = server.rows(["more_fv:s"], {"user_id": [7]})
    assert [row[1] for row in rows] == [Value(string_val="seven").SerializeToString()]


def test_the_route_says_that_it_is_there(server: Server) -> None:
    status, _, body = server.ask("GET", "/rows/v1")
    assert (status, json.loads(body)) == (200, {"version": 1, "max_rows": MAX_ROWS, "max_bytes": MAX_BYTES})


def test_many_rows_are_read_at_once(server: Server) -> None:
    columns: dict[str, list[Any]] = {"user_id": _USERS * 500, "plan_id": _PLANS * 500, "day_no": _DAYS * 500}
    _, once = server.rows(_REFERENCES, _COLUMNS)
    _, rows = server.rows(_REFERENCES, columns)
    assert rows == once * 500


def test_redis_is_asked_once_for_each_row_whatever_the_views(server: Server, redis_url: str) -> None:
    def asked() -> int:
        with redis.Redis.from_url(redis_url) as client:
            return int(client.info("commandstats")["cmdstat_hmget"]["calls"])

    def asked_for_rows() -> int:
        before = asked()
        server.rows(["all_fv:s", "more_fv:f64", "all_fv:i32"], {"user_id": [*_USERS]})
        return asked() - before

    # A stack of other tests may ask this Redis for its canary meanwhile.
    assert min(asked_for_rows() for _ in range(10)) == len(_USERS)


def test_too_much_is_refused(server: Server) -> None:
    status, _, body = server.post(["more_fv:s"], {"user_id": ["a"] * (MAX_ROWS + 1)})
    assert (status, json.loads(body)) == (413, {"detail": "10001 rows are asked for, and at most 10000 may be"})
    status, _, body = server.ask("POST", "/rows/v1", bytes(MAX_BYTES + 1))
    assert (status, json.loads(body)) == (413, {"detail": f"the body is larger than {MAX_BYTES} bytes"})


def test_a_view_that_is_applied_later_is_served(server: Server) -> None:
    later = _view("later_fv", [_user], ["s"])
    assert server.post(["later_fv:s"], {"user_id": ["a"]})[0] == 404
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        server.store.apply([later])
    wait_until(
        lambda: server.rows(["later_fv:s"], {"user_id": ["a"]}),
        failing=AssertionError,
        timeout_s=BOUND_S,
        complaint=lambda: "the registry was not read again",
    )


def test_a_damaged_hash_fails_as_it_does_for_feast(server: Server, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        key = b"\x01\x00\x00\x00\x02\x00\x00\x00\x07\x00\x00\x00user_id\x02\x00\x00\x00\x03\x00\x00\x00badrows"
        client.set(key, "no hash")
        status, _, body = server.post(["more_fv:s"], {"user_id": ["a", "bad", "a"]})
        assert status == server.feasts(["more_fv:s"], {"user_id": ["a", "bad", "a"]})[0] == 500
        assert "WRONGTYPE" in json.loads(body)
    # The connection's other replies are not taken for those of later reads.
    assert len(server.rows(["more_fv:s"], {"user_id": ["a"]})[1]) == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_BODIES = st.one_of(
    st.binary(max_size=40),
    _JSON.map(msgspec.msgpack.encode),
    st.tuples(_JSON.map(msgspec.msgpack.encode), _JSON).map(msgspec.msgpack.encode),
    st.tuples(
        st.lists(st.sampled_from([*_REFERENCES, "x", "x:y", "all_fv:", ":"]), max_size=3).map(msgspec.msgpack.encode),
        st.dictionaries(
            st.sampled_from(["user_id", "plan_id", "day_no", "other"]),
            st.lists(st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=3), max_size=3),
        ),
    ).map(msgspec.msgpack.encode),
)


@settings(max_examples=200, deadline=None)
@given(body=_BODIES)
def test_no_body_is_answered_wrongly(server: Server, body: bytes) -> None:
    status, _, content = server.ask("POST", "/rows/v1", body)
    if status != 200:
        assert status in {404, 422, 500}
        assert json.loads(content)
        return
    selection, columns = msgspec.msgpack.decode(body)
    references = msgspec.msgpack.decode(selection)
    views, rows = msgspec.msgpack.decode(content)
    assert {len(row) for row in rows} == {len(views) + len(references)}
    assert {len(rows)} == {len(values) for values in columns.values()}
