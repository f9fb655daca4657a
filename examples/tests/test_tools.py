"""Where a language's tools are missing or too old, its tests are skipped with a word about it."""

from pathlib import Path

import pytest
from languages import Tool


@pytest.fixture
def compiler(tmp_path: Path) -> Path:
    return tmp_path / "compiler"


@pytest.mark.parametrize(
    "printed", ["compiler 17.0.15", "compiler 21", "\x1b[0mcompiler 17", "compiler1.26.8 linux/amd64"]
)
def test_a_tool_that_is_new_enough_is_not_missing(compiler: Path, printed: str) -> None:
    wanted = (1, 26) if "1.26" in printed else (17,)
    assert _tool(compiler, printed, wanted).missing() == ""


@pytest.mark.parametrize(
    ("printed", "wanted"), [("compiler 11.0.2", (17,)), ("v9.11", (10,)), ("compiler 1.9", (1, 26))]
)
def test_a_tool_that_is_too_old_is_named_with_its_version(
    compiler: Path, printed: str, wanted: tuple[int, ...]
) -> None:
    needed = ".".join(map(str, wanted))
    assert _tool(compiler, printed, wanted).missing() == f"{compiler} {needed} or newer is needed; here is {printed}"


def test_a_tool_that_is_not_there_is_named() -> None:
    assert Tool(("no-such-compiler",), (3, 8)).missing() == "no-such-compiler 3.8 or newer is not on the PATH"


def _tool(compiler: Path, printed: str, version: tuple[int, ...]) -> Tool:
    compiler.write_text(f"#!/bin/sh\necho '{printed}'\n")
    compiler.chmod(0o700)
    return Tool((str(compiler),), version)
