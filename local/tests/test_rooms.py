"""Packages stay apart: import contracts cover all of them, and the gateway needs no Feast."""

import subprocess
import sys
import tomllib
from pathlib import Path

from feast_contract import write_contract
from feature_gateway.contract.file import load_contract
from stack_under_test import CHECKOUT
from streamflow_repo.contract import repo_contract

_PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_under_import_contracts() -> None:
    members = [CHECKOUT / member / "pyproject.toml" for member in _PROJECT["tool"]["uv"]["workspace"]["members"]]
    builds = [tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["uv"]["build-backend"] for path in members]
    packages = {build["module-name"] for build in builds}
    linter = _PROJECT["tool"]["importlinter"]
    contracts = {contract["id"]: contract for contract in linter["contracts"]}
    assert set(linter["root_packages"]) == packages
    assert set(contracts["circles"]["ancestors"]) == packages
    assert {name for layer in contracts["packages"]["layers"] for name in layer.split(" | ")} == packages


def test_the_gateway_runs_without_feast() -> None:
    program = "import feature_gateway.__main__, sys; sys.exit('feast' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_the_gateway_reads_what_the_feature_repo_exports(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    exported = repo_contract()
    write_contract(exported, path)
    loaded = load_contract(path)
    assert loaded.hash == exported["hash"]
    assert set(loaded.services) == {"churn_v1", "engagement_v1", "session_v1"}
    assert loaded.feature_count == 15
