"""The truth table, against the live Feast and Valkey: what Feast calls each case, and what the gateway says of it.

When Feast begins to tell these cases apart, the first test fails: the gateway's own judgement may then be simplified.
"""

import json
import math
import os
import shutil
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from streamflow_features import FeatureClient, FeatureStatus
from streamflow_local import ports, stack
from streamflow_local.process import ProcessSpec
from streamflow_local.testing import running, wait_for_port
from streamflow_repo.contract import build_contract, contract_text
from streamflow_repo.settings.feature_server import FeatureServer

if TYPE_CHECKING:
    from feast import FeatureStore

_BIN = Path(sys.executable).parent
_NOW = datetime.now(UTC).replace(microsecond=0)
_FRESH = _NOW - timedelta(hours=1)
_OLD = _NOW - timedelta(days=2)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """One row of the truth table: who, what Feast answers for aging_fv:score, what the gateway says."""

    user_id: str
    value: float | None
    event_timestamp: datetime
    status: FeatureStatus


CASES = [
    Case("fresh", 1.5, _FRESH, FeatureStatus.PRESENT),
    Case("old", 2.5, _OLD, FeatureStatus.OUTSIDE_MAX_AGE),
    Case("null", None, _FRESH, FeatureStatus.NULL_VALUE),
    Case("old-null", None, _OLD, FeatureStatus.NULL_VALUE),
    Case("nobody", None, _EPOCH, FeatureStatus.NOT_FOUND),
    Case("elsewhere", None, _EPOCH, FeatureStatus.NOT_FOUND),
]


# A value of each list type. 1/7 is not the same in Float32 as in Float64.
_EMBEDDING = [position / 7 for position in range(768)]
_LISTS: dict[str, list[Any]] = {
    "bools": [True, False, True],
    "int32s": [-(2**31), 2**31 - 1],
    "int64s": [-(2**63), 2**63 - 1],
    "float32s": [*_EMBEDDING, math.inf, -0.0],
    "float64s": [*_EMBEDDING, 5e-324, -math.inf],
    "strings": ["x", "naïve 名 'quoted' \"twice\"", ""],
    "byte_strings": [b"x", b"\x00\xff", b""],
    "timestamps": [_NOW, _EPOCH - timedelta(seconds=1)],
}
# What Feast stores for a null element. It refuses one in a list of integers.
_NULL_ELEMENTS: dict[str, Any] = {
    "bools": False,
    "float32s": math.nan,
    "float64s": math.nan,
    "strings": "",
    "byte_strings": b"",
    "timestamps": None,
}


@dataclass(frozen=True)
class Servers:
    """A live feature server and the gateway in front of it."""

    feast_url: str
    gateway: str


@dataclass(frozen=True)
class Filled:
    """A feature repository whose definitions are applied and whose cases are in Valkey, and its contract."""

    repo: Path
    contract: Path


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("truth")
    repo = shutil.copytree(Path(__file__).parent / "truth_repo", folder / "repo")
    redis = f"{redis_url.removeprefix('redis://')},socket_timeout=5,socket_connect_timeout=5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUTH_REGISTRY", str(folder / "registry.db"))
        patch.setenv("TRUTH_REDIS", redis)
        # As for the jobs; StreamFlow's feature server sets its own.
        patch.setenv("FEAST_ONLINE_STORE", "redis")
        command = [str(_BIN / "feast"), "apply", "--skip-source-validation", "--no-progress"]
        # Half of the command's time is typeguard's, which leaves its checks out under -O.
        environment = {**os.environ, "PYTHONOPTIMIZE": "1"}
        subprocess.run(command, cwd=repo, env=environment, check=True, capture_output=True, timeout=120)
        contract = folder / "contract.json"
        _fill(repo, contract)
        yield Filled(repo, contract)


@pytest.fixture(scope="module", params=list(FeatureServer))
def servers(
    filled: Filled, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    feast_port, grpc_port, http_port = ports.free_ports(3)
    feast = stack.feature_server(feast_port, feature_repo=filled.repo, server=request.param)
    gateway = ProcessSpec(
        name="gateway",
        command=(str(_BIN / "feature-gateway"),),
        environment={
            "GATEWAY_GRPC_PORT": str(grpc_port),
            "GATEWAY_HTTP_PORT": str(http_port),
            "GATEWAY_FEATURE_SERVER_URLS": f"http://127.0.0.1:{feast_port}",
            "GATEWAY_CONTRACT_PATH": str(filled.contract),
            "GATEWAY_DEFAULT_FEATURE_SERVICE": "truth_v1",
        },
    )
    feast_log, gateway_log = folder / "feast.log", folder / "gateway.log"
    with running(feast, log=feast_log), running(gateway, log=gateway_log):
        wait_for_port(feast_port, log=feast_log)
        wait_for_port(grpc_port, log=gateway_log)
        yield Servers(f"http://127.0.0.1:{feast_port}", f"127.0.0.1:{grpc_port}")


def _fill(repo: Path, contract: Path) -> None:
    from feast import FeatureStore  # noqa: PLC0415  # takes seconds to import

    store = FeatureStore(repo_path=str(repo))
    text = contract_text(
        build_contract(
            project=store.project,
            entity=store.get_entity("user"),
            views=store.list_feature_views(),
            services=store.list_feature_services(),
        )
    )
    contract.write_text(text, encoding="utf-8")
    rows = [case for case in CASES if case.event_timestamp != _EPOCH]
    _write(
        store,
        "aging_fv",
        user_id=[case.user_id for case in rows],
        event_timestamp=[case.event_timestamp for case in rows],
        score=pd.array([case.value for case in rows], dtype="Float64"),
        note=["seen"] * len(rows),
    )
    _write(
        store,
        "types_fv",
        user_id=["elsewhere", "extreme", "infinite"],
        event_timestamp=[_FRESH] * 3,
        a_bool=[True, False, True],
        an_int32=[1, -(2**31), 0],
        an_int64=[1, 2**63 - 1, 0],
        a_float32=[0.5, 3.4028234663852886e38, math.inf],
        a_float64=[29.85, 5e-324, math.nan],
        a_string=["", "naïve 名 'quoted' \"twice\"", "NaN"],
        some_bytes=[b"x", b"\x00\xff", b"NaN"],
        a_timestamp=[_OLD, _EPOCH + timedelta(seconds=1), _NOW],
    )
    users = ["lists", "empty-lists", "null-lists", "null-elements"]
    _write(
        store,
        "lists_fv",
        user_id=users,
        event_timestamp=[_FRESH] * len(users),
        **{
            name: [written, [], None, [written[0], *([None] if name in _NULL_ELEMENTS else [])]]
            for name, written in _LISTS.items()
        },
    )


def _write(store: "FeatureStore", view: str, **columns: Any) -> None:
    store.write_to_online_store(view, pd.DataFrame(columns))


def _feast_says(servers: Servers, user_id: str) -> tuple[Any, str, datetime]:
    body = json.dumps({"features": ["aging_fv:score"], "entities": {"user_id": [user_id]}}).encode()
    request = urllib.request.Request(  # noqa: S310  # http by construction
        f"{servers.feast_url}/get-online-features", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # http by construction
        answer = json.load(response)
    column = answer["results"][answer["metadata"]["feature_names"].index("score")]
    return column["values"][0], column["statuses"][0], datetime.fromisoformat(column["event_timestamps"][0])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.user_id)
def test_feast_calls_every_case_present(servers: Servers, case: Case) -> None:
    assert _feast_says(servers, case.user_id) == (case.value, "PRESENT", case.event_timestamp)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.user_id)
def test_the_gateway_tells_the_cases_apart(servers: Servers, case: Case) -> None:
    with FeatureClient(servers.gateway, timeout_s=10, follow_health=False) as client:
        features = client.get_user_features(case.user_id, features=["aging_fv:score"])
    assert features["score"] == case.value
    assert features.statuses["score"] is case.status
    absent = case.status is FeatureStatus.NOT_FOUND
    assert features.event_timestamps["score"] == (None if absent else case.event_timestamp)
    assert features.user_known is not absent


def test_a_user_of_one_view_is_known_and_not_found_in_the_other(servers: Servers) -> None:
    with FeatureClient(servers.gateway, timeout_s=10, follow_health=False) as client:
        features = client.get_user_features("elsewhere")
    assert features.user_known
    assert features.statuses["score"] is FeatureStatus.NOT_FOUND
    assert features.statuses["a_string"] is FeatureStatus.PRESENT


def test_every_type_arrives_as_it_was_written(servers: Servers) -> None:
    with FeatureClient(servers.gateway, timeout_s=10, follow_health=False) as client:
        extreme = client.get_user_features("extreme", features=_TYPES)
        infinite = client.get_user_features("infinite", features=_TYPES)
    assert dict(extreme) == {
        "a_bool": False,
        "an_int32": -(2**31),
        "an_int64": 2**63 - 1,
        "a_float32": 3.4028234663852886e38,
        "a_float64": 5e-324,
        "a_string": "naïve 名 'quoted' \"twice\"",
        "some_bytes": b"\x00\xff",
        "a_timestamp": _EPOCH + timedelta(seconds=1),
    }
    assert [type(value) for value in extreme.values()] == [bool, int, int, float, float, str, bytes, datetime]
    assert infinite["a_float32"] == math.inf
    assert infinite["a_string"] == "NaN"
    assert infinite["some_bytes"] == b"NaN"
    assert infinite["a_timestamp"] == _NOW


def _as_read(name: str, elements: list[Any]) -> tuple[Any, ...]:
    return (
        struct.unpack(f"{len(elements)}f", struct.pack(f"{len(elements)}f", *elements))
        if name == "float32s"
        else tuple(elements)
    )


def test_a_list_of_every_type_arrives_as_it_was_written(servers: Servers) -> None:
    references = [f"lists_fv:{name}" for name in _LISTS]
    with FeatureClient(servers.gateway, timeout_s=10, follow_health=False) as client:
        full, empty, null, partly = (
            client.get_user_features(user, features=references)
            for user in ("lists", "empty-lists", "null-lists", "null-elements")
        )
    # repr tells -0.0 from 0.0 and every bit of a float from the next.
    assert repr(dict(full)) == repr({name: _as_read(name, written) for name, written in _LISTS.items()})
    assert dict(empty) == dict.fromkeys(_LISTS, ())
    assert {*empty.statuses.values()} == {FeatureStatus.PRESENT}
    assert dict(null) == dict.fromkeys(_LISTS)
    assert {*null.statuses.values()} == {FeatureStatus.NULL_VALUE}
    assert repr(dict(partly)) == repr(
        {
            name: (*_as_read(name, written[:1]), *([_NULL_ELEMENTS[name]] if name in _NULL_ELEMENTS else []))
            for name, written in _LISTS.items()
        }
    )


_TYPES = [
    f"types_fv:{name}"
    for name in (
        *("a_bool", "an_int32", "an_int64", "a_float32", "a_float64"),
        *("a_string", "some_bytes", "a_timestamp"),
    )
]
