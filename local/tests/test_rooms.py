"""The rooms stay apart: what each may import, and what they agree on without importing each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from feature_gateway.contract_file import load_contract
from stack_under_test import CHECKOUT
from streamflow_repo.contract import export_contract

_OURS = {
    "feature_gateway",
    "streamflow",
    "streamflow_features",
    "streamflow_local",
    "streamflow_offline",
    "streamflow_repo",
}
_MAY_IMPORT = {
    "protos/gen/streamflow": {"streamflow"},
    "feature_repo/streamflow_repo": {"streamflow_repo", "feast"},
    "gateway/feature_gateway": {"feature_gateway", "streamflow"},
    "clients/python/streamflow_features": {"streamflow_features", "streamflow"},
    "offline/streamflow_offline": {"streamflow_offline", "streamflow_repo", "streamflow_features", "feast"},
    "local/streamflow_local": _OURS,
}


@pytest.mark.parametrize("package", _MAY_IMPORT)
def test_a_room_imports_only_what_it_may(package: str) -> None:
    files = list((CHECKOUT / package).rglob("*.py"))
    assert files
    imported = {name for file in files for name in _imports(file)}
    assert imported & (_OURS | {"feast"}) <= _MAY_IMPORT[package]


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_the_gateway_runs_without_feast() -> None:
    program = "import feature_gateway.__main__, sys; sys.exit('feast' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_the_gateway_reads_what_the_feature_repo_exports(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    exported = export_contract(path)
    loaded = load_contract(path)
    assert loaded.hash == exported["hash"]
    assert set(loaded.services) == {"churn_v1", "engagement_v1"}
    assert loaded.feature_count == 14
