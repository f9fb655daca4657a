"""contract.json is of StreamFlow's definitions, the same every time, and of all of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.repo_operations import get_repo_files, parse_repo
from streamflow_repo import CONTRACT_PATH, contract
from streamflow_repo.contract import repo_contract


def test_streamflows_contract_has_the_names_that_consumers_know() -> None:
    built = repo_contract()
    assert built["project"] == "streamflow"
    assert built["entities"] == [
        {"name": "user", "join_key": "user_id", "dtype": "String", "pattern": "^[0-9]{4}-[A-Z]{5}$"}
    ]
    assert built["left_out"] == []
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


@pytest.mark.slow
def test_the_contract_is_the_same_in_every_process(tmp_path: Path) -> None:
    texts = set()
    for seed in ("1", "2"):
        path = tmp_path / f"contract-{seed}.json"
        # Without what Feast does for checks of arguments, which takes most of its import.
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONOPTIMIZE": "1"}
        command = [sys.executable, "-m", "streamflow_repo.contract", "--path", str(path)]
        subprocess.run(command, check=True, env=environment, timeout=120)
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
    assert sorted(service.name for service in found.feature_services) == [
        "churn_v1",
        "engagement_v1",
        "session_v1",
    ]
    computed = [view["name"] for view in built["on_demand_feature_views"]]
    assert [view.name for view in found.on_demand_feature_views] == computed == ["session_now_fv"]
    assert len(found.data_sources) == len(built["feature_views"]) + len(computed)


def test_a_definition_that_cannot_be_served_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    defined = list(contract._objects())
    (view,) = [value for value in defined if isinstance(value, FeatureView) and value.name == "usage_agg_30d_fv"]
    monkeypatch.setattr(view, "online", False)
    path = tmp_path / "contract.json"
    assert contract.main(["--path", str(path)]) == 1
    assert "feature view usage_agg_30d_fv: it is not online; give it online=True" in capsys.readouterr().err
    assert not path.exists()


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
