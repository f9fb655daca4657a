"""The READMEs' tables have each event that a package logs, with its fields, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack_under_test import CHECKOUT

_FOLDERS = {
    "gateway": "gateway/feature_gateway",
    "feature_repo": "feature_repo/streamflow_repo",
    "feature_repo/exporter": "feature_repo/exporter/feast_contract",
    "offline": "offline/streamflow_offline",
    "logs": "logs/streamflow_logs",
}
_ROW = re.compile(r"^\| `([^`]+)` \|([^|]*)\|", re.MULTILINE)


def _events(folder: Path) -> Iterator[tuple[str, str]]:
    """Each event that is made in a folder, and each of its fields."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Event"):
                continue
            fields = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
            for name in _names(node.args[0]):
                yield from ((name, field) for field in fields or [""])


def _names(argument: ast.expr) -> Iterator[str]:
    """The names that an event may have; a variable's are those of the calls that set it."""
    if isinstance(argument, ast.IfExp):
        yield from _names(argument.body)
        yield from _names(argument.orelse)
    elif isinstance(argument, ast.Constant):
        yield str(argument.value)


def _table(readme: Path) -> set[tuple[str, str]]:
    section = readme.read_text(encoding="utf-8").split("\n## Logs\n", 1)[1].split("\n## ")[0]
    rows = _ROW.findall(section)
    return {(name, field) for name, cell in rows for field in re.findall(r"`(\w+)`", cell) or [""]}


@pytest.mark.parametrize(("readme", "package"), _FOLDERS.items(), ids=_FOLDERS)
def test_each_event_and_each_of_its_fields_is_in_the_readme(readme: str, package: str) -> None:
    made = set(_events(CHECKOUT / package))
    assert made
    table = _table(CHECKOUT / readme / "README.md")
    assert made - table == set(), "not in the table"
    assert table - made == set(), "not in the code"


def _is_plain(node: ast.AST) -> bool:
    """Whether a node logs a text instead of an event."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "_log"
        and isinstance(node.args[0], ast.Constant | ast.JoinedStr)
    )


@pytest.mark.parametrize("package", _FOLDERS.values())
def test_every_line_of_a_package_is_an_event(package: str) -> None:
    modules = {path: ast.parse(path.read_text(encoding="utf-8")) for path in (CHECKOUT / package).rglob("*.py")}
    assert [path for path, module in modules.items() if any(map(_is_plain, ast.walk(module)))] == []
