"""Runs the commands of one who starts with `feast init`, in one process, which imports Feast once.

Arguments: the folder to work in, the project, the template, the settings of feature_store.yaml that replace the
template's (JSON), and `feast materialize`'s end. What `feast init` asks is answered from stdin.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from feast.cli.cli import cli
from feast_contract.__main__ import main as feast_contract

_BEFORE_ALL_ROWS = "2000-01-01T00:00:00"


def main(arguments: Sequence[str]) -> None:
    """Run `feast init`, `apply` and `materialize`, and `feast-contract export`; exit as the first that fails."""
    folder, project, template, settings, until = arguments
    os.chdir(folder)
    _feast("init", *(["--minimal"] if template == "minimal" else ["-t", template]), project)
    repo = Path(folder, project, "feature_repo")
    _set(repo / "feature_store.yaml", json.loads(settings))
    os.chdir(repo)
    _feast("apply")
    _feast("materialize", _BEFORE_ALL_ROWS, until)
    sys.exit(feast_contract(["export", "--repo", ".", "--out", "contract.json"]))


def _feast(*arguments: str) -> None:
    cli.main([*arguments], prog_name="feast", standalone_mode=False)


def _set(path: Path, settings: dict[str, Any]) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(content | settings), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
