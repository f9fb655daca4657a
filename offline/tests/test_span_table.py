"""The README's table of spans."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import streamflow_offline

_PACKAGE = Path(streamflow_offline.__file__).parent
_OF_COMMANDS = {"offline COMMAND": {"error.type"}}


def _steps() -> dict[str, set[str]]:
    """Return the steps in the code, each with its attributes."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in _PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "step":
                (name,) = (argument.value for argument in node.args if isinstance(argument, ast.Constant))
                found[str(name)] |= {f"offline.{keyword.arg}" for keyword in node.keywords}
    return found


def test_the_readme_has_every_span_and_attribute_and_no_other() -> None:
    text = (_PACKAGE.parent / "README.md").read_text()
    table = text.split("| span | attributes | |\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*?) ?\| .* \|$", table, re.MULTILINE)
    names = {name: attributes for names, attributes in rows for name in re.findall("`(.*?)`", names)}
    steps = _steps()
    assert {*names} == {*steps, *_OF_COMMANDS}
    for names_of_row, attributes in rows:
        spans = [(steps | _OF_COMMANDS)[name] for name in re.findall("`(.*?)`", names_of_row)]
        assert {*re.findall("`(.*?)`", attributes)} == set[str]().union(*spans)
