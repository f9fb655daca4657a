"""What can go wrong is one clear line, without a part of a password."""

import socket
from pathlib import Path

import pytest
from feast_contract.__main__ import main

_YAML = "project: p\nprovider: local\nonline_store: {type: sqlite}\nregistry: "
_PASSWORD = "s3cret"


def _refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str], out: Path | None = None) -> str:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["export", "--repo", str(tmp_path), "--out", str(out or tmp_path / "contract.json")]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    return line


def _registry(folder: Path, registry: str) -> None:
    (folder / "feature_store.yaml").write_text(_YAML + registry, encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_folder_without_a_feature_store_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = _refusal(tmp_path, capsys)
    assert line == (
        f"feast-contract: {tmp_path} has no feature_store.yaml; name the folder in which you run `feast apply`"
    )


@pytest.mark.parametrize(
    "registry", ["data/registry.db", "{registry_type: sql, path: 'sqlite:///registry.db'}"], ids=["file", "sql"]
)
def test_a_registry_in_which_nothing_is_applied_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], registry: str
) -> None:
    _registry(tmp_path, registry)
    if "sqlite" in registry:
        (tmp_path / "registry.db").touch()
    line = _refusal(tmp_path, capsys)
    assert line == f"feast-contract: nothing of the project p is applied; run `feast apply` in {tmp_path}"
    assert not (tmp_path / "data").exists()


def test_a_database_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"postgresql+psycopg://me:{_PASSWORD}@127.0.0.1:{_free_port()}/db"
    _registry(tmp_path, f"{{registry_type: sql, path: '{url}'}}")
    line = _refusal(tmp_path, capsys)
    assert "can't be read: OperationalError: " in line
    assert "refused" in line
    assert "; check `registry` there" in line
    assert _PASSWORD not in line


@pytest.mark.parametrize("password", ["pa@zz:qq", "zz/qq", "a#zz", "zz?x", "x:zz", "zz@127.0.0.1:1/x"])
def test_a_password_that_libraries_misread(tmp_path: Path, capsys: pytest.CaptureFixture[str], password: str) -> None:
    url = f"postgresql+psycopg://me:{password}@127.0.0.1:{_free_port()}/db"
    _registry(tmp_path, f"{{registry_type: sql, path: '{url}'}}")
    line = _refusal(tmp_path, capsys)
    assert "percent-encode the characters" in line
    assert "zz" not in line
    assert "qq" not in line


def test_a_server_that_quotes_the_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"postgresql+psycopg://me:{_PASSWORD}@{_PASSWORD}.invalid:5432/db"
    _registry(tmp_path, f"{{registry_type: sql, path: '{url}'}}")
    line = _refusal(tmp_path, capsys)
    assert "can't be read: OperationalError; check" in line
    assert _PASSWORD not in line


def test_a_variable_that_is_not_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _registry(tmp_path, "{registry_type: sql, path: '${NO_SUCH_REGISTRY_URL}'}")
    assert "names the variable NO_SUCH_REGISTRY_URL, which is not set; set it" in _refusal(tmp_path, capsys)


@pytest.mark.parametrize(
    "registry",
    [
        f"{{registry_type: sql, path: ['postgresql://me:{_PASSWORD}@h/db']}}",
        f"{{registry_type: 'postgresql://me:{_PASSWORD}@h/db'}}",
        f"{{path: 'postgresql://me:{_PASSWORD}@h/db'",
        f"x\n{_PASSWORD}",
    ],
)
def test_a_feature_store_yaml_that_feast_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], registry: str
) -> None:
    _registry(tmp_path, registry)
    line = _refusal(tmp_path, capsys)
    assert "`feast configuration` in that folder says why" in line
    assert _PASSWORD not in line


def test_a_registry_of_a_scheme_that_feast_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _registry(tmp_path, f"'ftp://me:{_PASSWORD}@h/registry.db'")
    line = _refusal(tmp_path, capsys)
    assert "can't be read: Exception; check" in line
    assert _PASSWORD not in line


def test_a_file_that_is_no_registry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _registry(tmp_path, "registry.db")
    (tmp_path / "registry.db").write_bytes(b"no message at all")
    assert "can't be read: DecodeError" in _refusal(tmp_path, capsys)


def test_a_file_that_cannot_be_written(trial_repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "nowhere" / "contract.json"
    assert main(["export", "--repo", str(trial_repo), "--out", str(out)]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        f"feast-contract: {out} can't be written: No such file or directory; name a file in a folder of yours"
    )
