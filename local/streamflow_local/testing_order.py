"""pytest plugin: how the processes of a run with pytest-xdist share the tests out.

Tests that share a stack, or a file, run in one process, so that what they share is started once. The groups that take
longest start first.
"""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from streamflow_local.process import NOT_INHERITED

_STACKS = ("own_servers_stack", "stack", "stock_stack", "secure_stack")
"""The fixtures of stacks; a test that needs several is grouped with the first."""

_RANKS = dict.fromkeys((*_STACKS, "test_types.py", "test_load.py"), 0)
"""Stacks, mypy and the load test start first."""

_GIVEN = ("control_plane",) if os.environ.get("KUBECONFIG") else ()
"""A Kubernetes cluster that is given takes one test at a time. Otherwise each process starts one in a few seconds."""

_CHOICES = {
    "either_generated_stack": {"streamflow": "own_servers_stack", "stock": "stock_stack"},
    "either_stack": {"streamflow": "stack", "stock": "stock_stack"},
    "readme_stack": {"plain": "own_servers_stack", "secure": "secure_stack"},
    # The two ways to apply to Kubernetes.
    **({} if _GIVEN else {"way": {way: way for way in ("client-side", "server-side")}}),
}
"""The fixtures that are one stack or another, by their parameter."""

_SHARED = (*_STACKS, *_GIVEN, "built", "built_caller")
"""The fixtures that take long to make, so that one process makes each: the stacks, the built manifests, the callers in
other languages."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Start no process with the variables by which Feast's metrics, once imported here, share counters in files."""
    for variable in NOT_INHERITED:
        os.environ.pop(variable, None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the groups when several processes take turns at them."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _RANKS.get(_group(item), 1))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> Iterator[None]:
    """Tell pytest-xdist each test's group.

    Its `--dist loadgroup` reads the group behind an @ in the test's id. What pytest-xdist 3.8 writes there for its own
    marks has no effect since pytest 9.2.
    """
    if not hasattr(session.config, "workerinput"):
        return (yield)
    items = session.items
    grouped: list[Any] = [SimpleNamespace(nodeid=f"{item.nodeid}@{_group(item)}") for item in items]
    session.items = grouped
    try:
        return (yield)
    finally:
        session.items = items


def _group(item: pytest.Item) -> str:
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    for choice, stacks in _CHOICES.items():
        if choice in parameters:
            return stacks[parameters[choice]]
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return next((shared for shared in _SHARED if shared in fixtures), item.path.name)
