"""Writes docs/reference.md, the client's reference, from the docstrings of all that the package exports.

python clients/python/tools/reference.py
"""

import ast
import importlib
import sys
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe

_ROOT = Path(__file__).parents[1]
PAGE = _ROOT / "docs" / "reference.md"
_MODULES = {
    "streamflow_features": "What model services import. [The README](../README.md) shows how to use it.",
    "streamflow_features.testing": "What tests import. `streamflow_features.testing.pytest_plugin` has a fixture.",
}
_GROUPS = ("Classes", "Keywords of calls", "Errors", "Enums", "Types and constants")
_WIDTH = 100


def reference() -> str:
    """Return the page."""
    parts = [
        "# Reference",
        "`make fix` writes this page from the docstrings, and `make lint` compares the two.",
    ]
    exported = {name for module in _MODULES for name in importlib.import_module(module).__all__}
    loaded = griffe.load("streamflow_features", search_paths=[_ROOT], docstring_parser=None)
    for name, what in _MODULES.items():
        module = importlib.import_module(name)
        found = loaded if name == loaded.path else loaded[name.partition(".")[2]]
        parts += [f"## {name}", what, *_exports(module, found, exported)]
    return "\n\n".join(parts) + "\n"


def _exports(module: ModuleType, found: Any, exported: set[str]) -> Iterator[str]:
    by_group: dict[str, list[str]] = {group: [] for group in _GROUPS}
    for name in module.__all__:
        by_group[_group_of(getattr(module, name))].append(name)
    for group, names in by_group.items():
        if names:
            yield f"### {group}"
        for name in names:
            target = found[name].final_target
            yield f"#### {name}"
            yield from _class(target, exported) if target.is_class else _attribute(target)


def _group_of(exported: Any) -> str:
    if not isinstance(exported, type):
        # A mapping of keywords to types is a function in some Pythons.
        return "Keywords of calls" if typing.is_typeddict(exported) else "Types and constants"
    if issubclass(exported, Exception):
        return "Errors"
    if typing.is_typeddict(exported):
        return "Keywords of calls"
    # A constant's class is not exported.
    return "Enums" if issubclass(exported, Enum) else "Classes"


def _attribute(attribute: Any) -> Iterator[str]:
    yield f"```python\n{attribute.name} = {attribute.value}\n```"
    yield _text(attribute)


def _class(found: Any, exported: set[str]) -> Iterator[str]:
    # What a private base has is the class's own to a reader.
    bases = found.mro()
    linked = {one.path for base in bases if base.name in exported for one in (base, *base.mro())}
    private_bases = [base for base in bases if base.path not in linked]
    members = {name: member for base in (*reversed(private_bases), found) for name, member in base.members.items()}
    made = members.pop("__init__", None)
    if made is not None and made.docstring is not None:
        yield _signature(made, name=found.name)
    yield _text(found)
    if made is not None and made.docstring is not None:
        yield _text(made)
    for base in (base for base in bases if base.name in exported):
        # GitHub's anchors are in lower case.
        yield f"It has all that [{base.name}](#{base.name.lower()}) has."
    public = [member for name, member in members.items() if not name.startswith("_")]
    fields = [member for member in public if member.is_attribute]
    if fields and not any(member.docstring for member in fields):
        # The proto explains them.
        yield "Members: " + ", ".join(f"`{member.name}`" for member in fields)
    elif fields:
        yield "\n".join(_field(member) for member in fields)
    for member in (member for member in public if member.is_function and member.docstring is not None):
        yield f"##### {found.name}.{member.name}"
        yield _signature(member, name=member.name)
        yield _text(member)


def _field(attribute: Any) -> str:
    annotation = f": {attribute.annotation}" if attribute.annotation is not None else ""
    return f"- `{attribute.name}{annotation}`: " + " ".join(_text(attribute).split())


def _signature(function: Any, *, name: str) -> str:
    prefix = "async def" if "async" in function.labels else "def"
    returns = f" -> {function.returns}" if function.returns is not None and function.name != "__init__" else ""
    parameters = [one for one in _parameters(function) if one not in {"self", "cls"}]
    start = f"{prefix} {name}" if function.name != "__init__" else name
    line = f"{start}({', '.join(parameters)}){returns}"
    if len(line) > _WIDTH:
        line = f"{start}(\n" + "".join(f"    {one},\n" for one in parameters) + f"){returns}"
    return f"```python\n{line}\n```"


def _parameters(function: Any) -> Iterator[str]:
    keywords = False
    for one in function.parameters:
        kind = one.kind.value
        if kind == "keyword-only" and not keywords:
            keywords = True
            yield "*"
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        annotation = f": {one.annotation}" if one.annotation is not None else ""
        default = "" if one.default is None or stars else f" = {_default(function, str(one.default))}"
        yield f"{stars}{one.name}{annotation}{default}"


def _default(function: Any, written: str) -> str:
    """Return a parameter's default: of a constant its value."""
    return repr(getattr(importlib.import_module(function.module.path), written, None) or ast.literal_eval(written))


def _text(found: Any) -> str:
    if found.docstring is None:
        raise ValueError(f"{found.path} has no docstring")
    return str(found.docstring.value)


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(reference(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != reference():
        sys.exit(f"{PAGE.relative_to(_ROOT)} is not what the docstrings say; `make fix` writes it.")
