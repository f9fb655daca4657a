"""The truth table: what the gateway says of each case before Feast's own server, on each of the online stores.

On Redis the gateway is tested before StreamFlow's feature server too. `test_feast_facts` has what Feast itself says.
"""

import json
import math
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from any_gateway import gateway_before
from any_repo import AnyRepo, feast_serve
from any_repo_odd_rows import TIMELESS
from any_repo_rows import EMBEDDING, EPOCH, FRESH, NOW, OLD
from streamflow_features import FeatureClient, FeatureStatus, UserFeatures
from streamflow_repo.settings.feature_server import FeatureServer

_STREAMFLOWS_STORE = "streamflow_repo.server.newest_wins.NewestWinsRedisOnlineStore"
_AGING = ("aging_fv:score", "aging_fv:note")
_TYPES = (
    *("types_fv:a_bool", "types_fv:an_int32", "types_fv:an_int64", "types_fv:a_float32", "types_fv:a_float64"),
    *("types_fv:a_string", "types_fv:some_bytes", "types_fv:a_timestamp"),
)
_LISTS = tuple(
    f"lists_fv:{name}"
    for name in (
        *("bools", "int32s", "int64s", "float32s", "float64s"),
        *("strings", "bytes_list", "timestamps", "embedding"),
    )
)


@dataclass(frozen=True)
class Served:
    """A gateway before a feature server on an online store."""

    online_store: str
    client: FeatureClient

    def ask(self, user_id: str, *references: str) -> UserFeatures:
        return self.client.get_user_features(user_id, features=references)


@dataclass(frozen=True)
class Case:
    """One row of the truth table: a user, and the score."""

    user_id: str
    value: float | None
    event_timestamp: datetime | None
    status: FeatureStatus


CASES = [
    Case("fresh", 1.5, FRESH, FeatureStatus.PRESENT),
    Case("old", 2.5, OLD, FeatureStatus.OUTSIDE_MAX_AGE),
    Case("null", None, FRESH, FeatureStatus.NULL_VALUE),
    Case("old-null", None, OLD, FeatureStatus.NULL_VALUE),
    Case("nobody", None, None, FeatureStatus.NOT_FOUND),
    Case("elsewhere", None, None, FeatureStatus.NOT_FOUND),
]


@pytest.fixture(
    scope="module",
    params=["sqlite", "redis", "redis-streamflow", pytest.param("postgres", marks=pytest.mark.slow)],
)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    online_store, _, streamflow = request.param.partition("-")
    repo: AnyRepo = request.getfixturevalue(f"any_repo_on_{online_store}")
    logs = tmp_path_factory.mktemp("gateway")
    if streamflow:
        folder = _with_streamflows_store(repo, logs / "repo")
        with feast_serve(folder, logs=logs, server=FeatureServer.STREAMFLOW) as url:
            yield from _served(online_store, url, repo, logs)
    else:
        yield from _served(online_store, request.getfixturevalue(f"feast_serve_on_{online_store}"), repo, logs)


def _served(online_store: str, url: str, repo: AnyRepo, logs: Path) -> Iterator[Served]:
    with (
        gateway_before(url, contract=repo.contract, logs=logs) as gateway,
        FeatureClient(gateway.target, timeout_s=10, follow_health=False) as client,
    ):
        yield Served(online_store, client)


def _with_streamflows_store(repo: AnyRepo, folder: Path) -> Path:
    shutil.copytree(repo.folder, folder)
    settings = folder / "feature_store.yaml"
    content = json.loads(settings.read_text(encoding="utf-8"))
    content["online_store"]["type"] = _STREAMFLOWS_STORE
    settings.write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.user_id)
def test_the_gateway_tells_the_cases_apart(served: Served, case: Case) -> None:
    features = served.ask(case.user_id, "aging_fv:score")
    assert features["score"] == case.value
    assert features.statuses["score"] is case.status
    assert features.event_timestamps["score"] == case.event_timestamp
    assert features.user_known is (case.status is not FeatureStatus.NOT_FOUND)


def test_a_feature_that_a_row_lacks_is_a_null(served: Served) -> None:
    features = served.ask("partial", *_AGING)
    assert dict(features.statuses) == {"score": FeatureStatus.NULL_VALUE, "note": FeatureStatus.PRESENT}
    assert set(features.event_timestamps.values()) == {FRESH}
    # PostgreSQL is asked for cells: without one of the features asked for, nothing says that there is a row.
    alone = served.ask("partial", "aging_fv:score")
    expected = FeatureStatus.NOT_FOUND if served.online_store == "postgres" else FeatureStatus.NULL_VALUE
    assert alone.statuses["score"] is expected


def test_a_row_whose_store_keeps_no_time_is_there_without_a_time(served: Served) -> None:
    features = served.ask("timeless", *_AGING)
    if served.online_store in TIMELESS:
        assert dict(features) == {"score": 7.5, "note": None}
        assert dict(features.statuses) == {"score": FeatureStatus.PRESENT, "note": FeatureStatus.NULL_VALUE}
    else:
        assert set(features.statuses.values()) == {FeatureStatus.NOT_FOUND}
    assert dict(features.event_timestamps) == {"score": None, "note": None}


def test_a_user_of_one_view_is_known_and_not_found_in_the_other(served: Served) -> None:
    features = served.ask("elsewhere", *_AGING, *_TYPES)
    assert features.user_known
    assert features.statuses["score"] is FeatureStatus.NOT_FOUND
    assert features.statuses["a_string"] is FeatureStatus.PRESENT


def test_every_type_arrives_as_it_was_written(served: Served) -> None:
    extreme = served.ask("extreme", *_TYPES)
    infinite = served.ask("infinite", *_TYPES)
    assert dict(extreme) == {
        "a_bool": False,
        "an_int32": -(2**31),
        "an_int64": 2**63 - 1,
        "a_float32": 3.4028234663852886e38,
        "a_float64": 5e-324,
        "a_string": "naïve 名 'quoted' \"twice\"",
        "some_bytes": b"\x00\xff",
        "a_timestamp": EPOCH + timedelta(seconds=1),
    }
    assert [type(value) for value in extreme.values()] == [bool, int, int, float, float, str, bytes, datetime]
    assert infinite["a_float32"] == math.inf
    assert infinite["a_string"] == "NaN"
    assert infinite["some_bytes"] == b"NaN"
    assert infinite["a_timestamp"] == NOW


def _rounded_to_float32(elements: list[float]) -> tuple[float, ...]:
    return struct.unpack(f"{len(elements)}f", struct.pack(f"{len(elements)}f", *elements))


def test_a_list_of_every_type_arrives_as_it_was_written(served: Served) -> None:
    features = served.ask("fresh", *_LISTS)
    # repr tells every bit of a float from the next, and NaN equals NaN.
    assert repr(dict(features)) == repr(
        {
            "bools": (True, False),
            "int32s": (1, -(2**31), 2**31 - 1),
            "int64s": (1, -(2**63), 2**63 - 1),
            "float32s": (0.5, math.inf),
            "float64s": (0.1, 5e-324, math.nan),
            "strings": ("a", "", "名"),
            "bytes_list": (b"\x00\xff", b""),
            "timestamps": (FRESH, OLD),
            "embedding": _rounded_to_float32(EMBEDDING),
        }
    )


def test_an_empty_list_is_not_a_null(served: Served) -> None:
    empty = served.ask("empty", *_LISTS)
    assert [*empty.values()] == [()] * len(_LISTS)
    assert set(empty.statuses.values()) == {FeatureStatus.PRESENT}
    null = served.ask("null", *_LISTS)
    assert [*null.values()] == [(True,), *[None] * (len(_LISTS) - 1)]
    assert [*null.statuses.values()] == [FeatureStatus.PRESENT, *[FeatureStatus.NULL_VALUE] * (len(_LISTS) - 1)]


def test_a_null_element_is_what_feast_stores_for_it(served: Served) -> None:
    features = served.ask("null-elements", *_LISTS)
    assert features["bools"] == (True, False)
    assert repr([features["float32s"], features["float64s"]]) == "[(0.5, nan), (0.1, nan)]"
    assert features["strings"] == ("a", "")
    assert features["bytes_list"] == (b"x", b"")
    assert features["timestamps"] == (FRESH, None)
