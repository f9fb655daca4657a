"""What a user installs from the lock is there as wheels, wherever the README says that the project runs."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import unquote

import pytest
from packaging.markers import Marker, default_environment
from packaging.utils import canonicalize_name, parse_wheel_filename
from stack_under_test import CHECKOUT

_PROJECT = "streamflow-feature-serving"
_PYTHONS = ("3.11", "3.12", "3.13")
_PLATFORMS = {
    "Linux on x86-64": ("linux", "x86_64", re.compile(r"(many|musl)?linux.*_x86_64")),
    "Linux on arm64": ("linux", "aarch64", re.compile(r"(many|musl)?linux.*_aarch64")),
    "macOS on arm64": ("darwin", "arm64", re.compile(r"macosx_.*_(arm64|universal2)")),
}
_FEWEST_PACKAGES = 100

_BUILT_FROM_SOURCE = {
    # Only locust, of the load tests, needs it; the compiler of Xcode's command line tools builds it.
    ("macOS on arm64", "3.11"): {"gevent"},
}

Package = Mapping[str, Any]


@pytest.mark.parametrize("python", _PYTHONS)
@pytest.mark.parametrize("platform", _PLATFORMS)
def test_each_package_that_a_user_installs_has_a_wheel(platform: str, python: str) -> None:
    system, machine, tag = _PLATFORMS[platform]
    environment: dict[str, str] = {
        **cast("dict[str, str]", default_environment()),
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_system": "Darwin" if system == "darwin" else "Linux",
        "platform_machine": machine,
        "extra": "",
    }
    packages = [package for package in _installed(environment) if "registry" in package["source"]]
    assert len(packages) > _FEWEST_PACKAGES
    without = {package["name"] for package in packages if not _has_wheel(package, python, tag)}
    assert without == _BUILT_FROM_SOURCE.get((platform, python), set())


def _installed(environment: Mapping[str, str]) -> Iterator[Package]:
    """Each package that the project's own packages bring along; what only the tests need is not among them."""
    with (CHECKOUT / "uv.lock").open("rb") as file:
        versions: dict[str, list[Package]] = {}
        for package in tomllib.load(file)["package"]:
            versions.setdefault(package["name"], []).append(package)
    found: set[tuple[str, str]] = set()
    waiting: list[tuple[Package, str]] = [(versions[_PROJECT][0], "")]
    while waiting:
        package, extra = waiting.pop()
        if (package["name"], extra) in found:
            continue
        found.add((package["name"], extra))
        if not extra:
            yield package
        dependencies = package.get("optional-dependencies", {})[extra] if extra else package.get("dependencies", ())
        for dependency in dependencies:
            if not Marker(dependency.get("marker", "python_version > '3'")).evaluate(dict(environment)):
                continue
            [locked] = [
                each
                for each in versions[dependency["name"]]
                if dependency.get("version", each["version"]) == each["version"]
            ]
            waiting += [(locked, each) for each in ("", *dependency.get("extra", ()))]


def _has_wheel(package: Package, python: str, platform: re.Pattern[str]) -> bool:
    for wheel in package.get("wheels", ()):
        name, _, _, tags = parse_wheel_filename(unquote(wheel["url"].rsplit("/", 1)[1]))
        assert name == canonicalize_name(package["name"])
        for tag in tags:
            fits = tag.platform == "any" or platform.fullmatch(tag.platform)
            if fits and _runs(tag.interpreter, tag.abi, python):
                return True
    return False


def _runs(interpreter: str, abi: str, python: str) -> bool:
    if interpreter in {"py3", f"py{python.replace('.', '')}"}:
        return True
    built_for = re.fullmatch(r"cp3(\d+)", interpreter)
    minor = int(python.removeprefix("3."))
    if built_for is None:
        return False
    if abi == "abi3":
        return int(built_for[1]) <= minor
    return int(built_for[1]) == minor and abi in {interpreter, "none"}
