"""`feast-contract export` and `feast-contract check`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Int64, Json
from feast_contract import contract_hash, contract_text
from feast_contract.__main__ import main

_YAML = """
project: small
provider: local
registry: {registry}
online_store: {{type: sqlite, path: data/online.db}}
offline_store: {{type: file}}
entity_key_serialization_version: 3
"""
_SQLITE = "{registry_type: sql, path: 'sqlite:///data/registry_of_sql.db'}"
_TIMEOUT_S = 120
_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)


def _view(*features: str, online: bool = True, description: str = "") -> FeatureView:
    return FeatureView(
        name="stats",
        entities=[_DRIVER],
        schema=[Field(name=name, dtype=Json if name == "json" else Int64) for name in features],
        source=FileSource(path="rows.parquet", timestamp_field="event_timestamp"),
        online=online,
        description=description,
    )


def _repo(folder: Path, *views: FeatureView, registry: str = "data/registry.db") -> Path:
    folder.mkdir()
    (folder / "data").mkdir()
    (folder / "feature_store.yaml").write_text(_YAML.format(registry=registry), encoding="utf-8")
    _apply(folder, *views)
    return folder


def _apply(repo: Path, *views: FeatureView) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repo)
        store = FeatureStore(str(repo))
        store.apply([_DRIVER, *views], skip_feature_view_validation=True)


@pytest.mark.parametrize("registry", ["data/registry.db", _SQLITE], ids=["file", "sql"])
def test_it_exports_what_is_applied_whatever_the_registry_and_the_working_folder(
    tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _repo(tmp_path / "repo", _view("x"), registry=registry)
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--repo", "repo", "--out", "contract.json"]) == 0
    contract = json.loads((tmp_path / "contract.json").read_text(encoding="utf-8"))
    assert [view["name"] for view in contract["feature_views"]] == ["stats"]
    assert contract["hash"] == contract_hash(contract)
    assert main(["check", "--repo", "repo", "--contract", "contract.json"]) == 0


@pytest.mark.slow
def test_the_same_definitions_are_the_same_file_in_every_process(trial_repo: Path, tmp_path: Path) -> None:
    texts = set()
    for seed in ("1", "2"):
        path = tmp_path / f"contract-{seed}.json"
        command = [str(Path(sys.executable).parent / "feast-contract"), "export", "--repo", str(trial_repo)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONOPTIMIZE": "1"}
        result = subprocess.run(
            [*command, "--out", str(path)], check=True, env=environment, timeout=120, capture_output=True, text=True
        )
        assert all(line.startswith("left out: ") for line in result.stderr.splitlines())
        texts.add(path.read_text(encoding="utf-8"))
    assert len(texts) == 1


def test_it_tells_what_it_leaves_out_and_writes_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repo, out = _repo(tmp_path / "repo", _view("x", "json")), tmp_path / "contract.json"
    assert main(["export", "--repo", str(repo), "--out", str(out)]) == 0
    assert "left out: feature stats:json: it is Json; the gateway serves " in capsys.readouterr().err
    contract = json.loads(out.read_text(encoding="utf-8"))
    assert [entry["name"] for entry in contract["left_out"]] == ["stats:json"]
    assert contract["feature_views"][0]["features"] == [{"name": "x", "dtype": "Int64"}]


def test_a_strict_export_writes_nothing_if_anything_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo, out = _repo(tmp_path / "repo", _view("x", "json")), tmp_path / "contract.json"
    assert main(["export", "--repo", str(repo), "--out", str(out), "--strict"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("left out: feature stats:json: ")
    assert said[1] == f"feast-contract: {out} is not written: correct what is left out, or export without --strict"
    assert not out.exists()
    _apply(repo, _view("x"))
    assert main(["export", "--repo", str(repo), "--out", str(out), "--strict"]) == 0
    assert capsys.readouterr().err == ""


def test_a_check_says_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repo, out = _repo(tmp_path / "repo", _view("x", "y", description="Old.")), tmp_path / "contract.json"
    assert main(["export", "--repo", str(repo), "--out", str(out)]) == 0
    before = out.read_bytes()
    _apply(repo, _view("y", "z", description="New."))
    assert main(["check", "--repo", str(repo), "--contract", str(out)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f'description of feature views stats: applied is "New.", in {out} is "Old."',
        f"feature view stats, feature x: not applied, in {out}",
        f"feature view stats, feature z: applied, not in {out}",
        f"feature view stats, order of features: applied is y z, in {out} is x y",
        f"feast-contract: {out} differs from what is applied; run `feast apply` or export it again",
    ]
    assert out.read_bytes() == before


def test_readers_by_a_contract_need_not_wait_where_more_is_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo, out = _repo(tmp_path / "repo", _view("x", description="Old.")), tmp_path / "contract.json"
    assert main(["export", "--repo", str(repo), "--out", str(out)]) == 0
    _apply(repo, _view("z", "x", description="New."))
    assert main(["wait", "--repo", str(repo), "--contract", str(out)]) == 0
    assert capsys.readouterr().err == ""


def test_readers_wait_until_what_they_need_is_applied(tmp_path: Path) -> None:
    repo, out = _repo(tmp_path / "repo", _view("x", "y")), tmp_path / "contract.json"
    assert main(["export", "--repo", str(repo), "--out", str(out)]) == 0
    _apply(repo, _view("x"))
    with _waiting(repo, out) as process:
        assert _told(process) == [
            f"feature view stats, feature y: not applied, in {out}",
            "feast-contract: waiting until this is applied",
        ]
        assert process.poll() is None
        _apply(repo, _view("x", "y", "z"))
        assert process.wait(_TIMEOUT_S) == 0


def test_readers_wait_for_a_registry_that_is_not_there(tmp_path: Path) -> None:
    repo, out = _repo(tmp_path / "repo", _view("x"), registry=_SQLITE), tmp_path / "contract.json"
    assert main(["export", "--repo", str(repo), "--out", str(out)]) == 0
    (repo / "data" / "registry_of_sql.db").unlink()
    with _waiting(repo, out) as process:
        assert "nothing of the project small is applied" in _told(process)[0]
        _apply(repo, _view("x"))
        assert process.wait(_TIMEOUT_S) == 0


def test_a_wait_ends_when_it_is_told_to(tmp_path: Path) -> None:
    repo, out = _repo(tmp_path / "repo", _view("x", "y")), tmp_path / "contract.json"
    assert main(["export", "--repo", str(repo), "--out", str(out)]) == 0
    _apply(repo, _view("x"))
    with _waiting(repo, out) as process:
        _told(process)
        process.terminate()
        assert process.wait(_TIMEOUT_S) == 128 + signal.SIGTERM


@contextmanager
def _waiting(repo: Path, contract: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-O", "-m", "feast_contract", "wait", "--repo", str(repo), "--contract", str(contract)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _told(process: subprocess.Popen[str]) -> list[str]:
    """Return what a process that waits has said."""
    assert process.stderr is not None
    return [process.stderr.readline().rstrip("\n") for _ in range(2)]


def test_an_edited_file_is_no_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repo, out = _repo(tmp_path / "repo", _view("x")), tmp_path / "contract.json"
    assert main(["export", "--repo", str(repo), "--out", str(out)]) == 0
    contract = json.loads(out.read_text(encoding="utf-8"))
    contract["project"] = "other"
    out.write_text(contract_text(contract), encoding="utf-8")
    assert main(["check", "--repo", str(repo), "--contract", str(out)]) == 1
    assert "has another hash than its content" in capsys.readouterr().err


def test_a_contract_of_version_1_is_to_be_exported_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "contract.json"
    path.write_text('{"version": 1}', encoding="utf-8")
    assert main(["check", "--repo", str(tmp_path), "--contract", str(path)]) == 1
    assert "its version is 1; write it again with `feast-contract export`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["export", "--help"], ["check", "--help"], ["wait", "--help"]], ids=" ".join
)
def test_help_names_the_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    said = capsys.readouterr().out
    assert {"export": "--out FILE", "check": "--contract FILE", "wait": "--contract FILE"}.get(
        arguments[0], "export"
    ) in said


def test_the_command_is_there_before_feast_is_imported() -> None:
    program = "import sys, feast_contract.__main__; sys.exit('feast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
