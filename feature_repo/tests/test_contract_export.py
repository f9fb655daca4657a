"""The contract says what the definitions say, the same every time, and refuses what can't be served."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.repo_operations import get_repo_files, parse_repo
from feast.types import Array, Float64, Int64, Map
from streamflow_repo import CONTRACT_PATH, contract
from streamflow_repo.contract import ContractError, build_contract, contract_hash, export_contract, repo_contract

_USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
_OTHER = Entity(name="device", join_keys=["device_id"], value_type=ValueType.STRING)


def _source(name: str) -> PostgreSQLSource:
    return PostgreSQLSource(name=name, table=name, timestamp_field="as_of")


def _view(name: str = "v", **changes: Any) -> FeatureView:
    settings: dict[str, Any] = {
        "entities": [_USER],
        "ttl": timedelta(days=2),
        "schema": [Field(name="x", dtype=Int64), Field(name="y", dtype=Float64)],
        "source": _source(name),
        **changes,
    }
    return FeatureView(name=name, **settings)


def _build(
    views: Sequence[FeatureView], services: Sequence[FeatureService], *, entity: Entity = _USER
) -> dict[str, Any]:
    return build_contract(project="p", entity=entity, views=views, services=services)


def test_a_service_lists_its_features_in_definition_order() -> None:
    first, second = _view("b_view"), _view("a_view", ttl=timedelta(0))
    service = FeatureService(name="s", features=[first[["y", "x"]], second])
    built = _build([first, second], [service])
    assert built["feature_services"] == [
        {
            "name": "s",
            "features": [
                {"view": "b_view", "name": "y", "dtype": "Float64", "max_age_s": 172800.0},
                {"view": "b_view", "name": "x", "dtype": "Int64", "max_age_s": 172800.0},
                {"view": "a_view", "name": "x", "dtype": "Int64", "max_age_s": None},
                {"view": "a_view", "name": "y", "dtype": "Float64", "max_age_s": None},
            ],
        }
    ]
    assert [view["name"] for view in built["feature_views"]] == ["a_view", "b_view"]
    assert built["entity"] == {"name": "user", "join_key": "user_id", "dtype": "String", "pattern": None}


def test_the_hash_is_over_everything_else() -> None:
    view = _view()
    built = _build([view], [FeatureService(name="s", features=[view])])
    claimed = built.pop("hash")
    assert claimed == contract_hash(built)
    older = _view(ttl=timedelta(days=3))
    assert _build([older], [FeatureService(name="s", features=[older])])["hash"] != claimed


def test_the_order_of_definitions_does_not_matter() -> None:
    views = [_view("a"), _view("b")]
    services = [FeatureService(name="s", features=[views[0]]), FeatureService(name="t", features=[views[1]])]
    assert _build(views, services) == _build(views[::-1], services[::-1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entities": [_OTHER]}, r"'v' has the entities \['device'\]; the gateway serves views of 'user' alone"),
        ({"entities": [_USER, _OTHER]}, "the gateway serves views of 'user' alone"),
        ({"online": False}, "'v' is not online; give it online=True"),
        ({"schema": [Field(name="x", dtype=Array(Map))]}, "feature v:x is Array"),
    ],
)
def test_a_view_that_cannot_be_served_is_refused(changes: dict[str, Any], message: str) -> None:
    view = _view(**changes)
    with pytest.raises(ContractError, match=message):
        _build([view], [FeatureService(name="s", features=[view])])


def test_a_renamed_view_is_refused() -> None:
    view = _view()
    with pytest.raises(ContractError, match="'s' renames the view 'v'"):
        _build([view], [FeatureService(name="s", features=[view.with_name("w")])])


def test_a_service_of_an_unknown_view_is_refused() -> None:
    with pytest.raises(ContractError, match="'s' uses the view 'v', which is no plain feature view here"):
        _build([], [FeatureService(name="s", features=[_view()])])


def test_a_join_key_that_is_no_string_is_refused() -> None:
    number = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    view = _view(entities=[number])
    with pytest.raises(ContractError, match="user ids are String"):
        _build([view], [FeatureService(name="s", features=[view])], entity=number)


def test_streamflows_contract_has_the_names_that_consumers_know() -> None:
    built = repo_contract()
    assert built["project"] == "streamflow"
    assert built["entity"]["join_key"] == "user_id"
    services = {
        service["name"]: [feature["name"] for feature in service["features"]] for service in built["feature_services"]
    }
    assert services["churn_v1"] == [
        *("months_active", "monthly_fee", "paperless_billing", "plan_stream_tv", "plan_stream_movies", "net_service"),
        *("watch_hours_30d", "avg_session_mins_7d", "unique_devices_30d", "skips_7d", "rebuffer_events_7d"),
        "failed_payments_90d",
        *("support_tickets_90d", "ticket_avg_resolution_hrs_90d"),
    ]
    dtypes = {feature["name"]: feature["dtype"] for view in built["feature_views"] for feature in view["features"]}
    assert {name for name, dtype in dtypes.items() if dtype == "Float64"} == {
        *("monthly_fee", "watch_hours_30d", "avg_session_mins_7d", "ticket_avg_resolution_hrs_90d")
    }


def test_the_contract_is_the_same_in_every_process(tmp_path: Path) -> None:
    texts = set()
    for seed in ("1", "2"):
        path = tmp_path / f"contract-{seed}.json"
        program = (
            "import pathlib, sys; from streamflow_repo.contract import export_contract;"
            " export_contract(pathlib.Path(sys.argv[1]))"
        )
        # Without what Feast does for checks of arguments, which takes most of its import.
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONOPTIMIZE": "1"}
        subprocess.run([sys.executable, "-c", program, str(path)], check=True, env=environment, timeout=120)
        texts.add(path.read_text(encoding="utf-8"))
    assert texts == {CONTRACT_PATH.read_text(encoding="utf-8")}


def test_exporting_imports_the_definitions_alone() -> None:
    program = (
        "import sys; from streamflow_repo.contract import repo_contract; repo_contract();"
        " print(*sorted(name for name in sys.modules if name.startswith('streamflow_repo')))"
    )
    environment = {**os.environ, "PYTHONOPTIMIZE": "1"}
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, check=True, env=environment, timeout=120, capture_output=True, text=True).stdout
    others = [name for name in output.split() if not name.startswith("streamflow_repo.definitions")]
    assert others == ["streamflow_repo", "streamflow_repo.contract", "streamflow_repo.errors"]


def test_feast_finds_each_definition_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONTRACT_PATH.parent)
    files = get_repo_files(CONTRACT_PATH.parent)
    assert {file.parent for file in files} == {CONTRACT_PATH.parent / "streamflow_repo" / "definitions"}
    found = parse_repo(CONTRACT_PATH.parent)
    built = repo_contract()
    assert [entity.name for entity in found.entities if entity.name != DUMMY_ENTITY_NAME] == ["user"]
    assert sorted(view.name for view in found.feature_views) == [view["name"] for view in built["feature_views"]]
    assert sorted(service.name for service in found.feature_services) == ["churn_v1", "engagement_v1"]
    assert len(found.data_sources) == len(built["feature_views"])


def test_an_export_that_changes_nothing_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    export_contract(path)
    os.utime(path, (1, 1))
    export_contract(path)
    assert path.stat().st_mtime == 1
    assert list(tmp_path.iterdir()) == [path]


def test_two_exports_at_once_both_end_and_leave_the_file_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "contract.json"
    replace, texts = Path.replace, iter(["second", "first"])
    monkeypatch.setattr(contract, "contract_text", lambda _: next(texts))

    def replace_after_another_export(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        export_contract(path)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_after_another_export)
    export_contract(path)
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_the_check_fails_when_the_file_differs_from_the_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "contract.json"
    monkeypatch.setattr(contract, "CONTRACT_PATH", path)
    assert contract.main(["--check"]) == 1
    path.write_text(CONTRACT_PATH.read_text(encoding="utf-8"), encoding="utf-8")
    assert contract.main(["--check"]) == 0
    changed = json.loads(path.read_text(encoding="utf-8"))
    changed["feature_views"][0]["max_age_s"] = 1
    path.write_text(json.dumps(changed), encoding="utf-8")
    assert contract.main(["--check"]) == 1
    assert "`make contract`" in capsys.readouterr().err
