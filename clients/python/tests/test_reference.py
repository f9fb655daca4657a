"""The reference is written from the docstrings, and has all that the package exports."""

import importlib
import importlib.util
import inspect
import re
import types
from pathlib import Path
from typing import Any

import pytest

_CLIENT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("reference", _CLIENT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_docstrings_say(tool: Any) -> None:
    # `make fix` writes it.
    assert tool.PAGE.read_text(encoding="utf-8") == tool.reference()


@pytest.mark.parametrize("name", ["streamflow_features", "streamflow_features.testing"])
def test_all_that_a_module_has_is_exported_and_in_the_reference(tool: Any, name: str) -> None:
    """The page pins the exports: a name that comes or goes changes it."""
    module = importlib.import_module(name)
    own = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(module.__all__) == own
    section = tool.PAGE.read_text(encoding="utf-8").partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^#### (\w+)$", section, re.MULTILINE)) == own
    for method in (f"{key}.{one}" for key in own for one in _methods(getattr(module, key))):
        assert f"\n##### {method}\n" in section


def test_the_readme_links_the_reference() -> None:
    assert "(docs/reference.md)" in (_CLIENT / "README.md").read_text(encoding="utf-8")


def _methods(exported: Any) -> list[str]:
    """The public methods that a class itself has."""
    found = vars(exported) if inspect.isclass(exported) else {}
    functions = (types.FunctionType, classmethod, staticmethod)
    return [name for name, value in found.items() if not name.startswith("_") and isinstance(value, functions)]
