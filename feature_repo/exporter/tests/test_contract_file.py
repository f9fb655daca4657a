"""The contract's file is replaced in one step, and only when it changes."""

import os
from pathlib import Path

import pytest
from feast_contract import ContractError, write_contract


def test_a_write_that_changes_nothing_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    write_contract({"version": 2}, path)
    os.utime(path, (1, 1))
    write_contract({"version": 2}, path)
    assert path.stat().st_mtime == 1
    assert [*tmp_path.iterdir()] == [path]


def test_two_writes_at_once_both_end_and_leave_the_file_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "contract.json"
    replace = Path.replace

    def replace_after_another_write(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        write_contract({"name": "first"}, path)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_after_another_write)
    write_contract({"name": "second"}, path)
    assert '"second"' in path.read_text(encoding="utf-8")
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_in_a_folder_that_is_a_file_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ContractError, match="can't be written: Not a directory"):
        write_contract({"version": 2}, tmp_path / "file" / "contract.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
