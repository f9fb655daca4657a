"""pytest plugin: how the processes of a run with pytest-xdist share the tests out.

Tests that share a stack, or a file, run in one process, so that what they share is started once. The groups that take
longest start first. A test marked `alone` measures time: while it runs, the other processes start no test.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_STACKS = ("own_servers_stack", "stack")
"""The fixtures of stacks; a test that needs several is grouped with the first."""

_SHARED = (*_STACKS, "built")
"""The fixtures that take long to make, so that one process makes each: the stacks, and the built manifests."""


# Before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test a group, and sort the groups when several processes take turns at them."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _group(item: pytest.Item) -> str:
    if item.get_closest_marker("alone"):
        return "alone"
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return next((shared for shared in _SHARED if shared in fixtures), item.path.name)


def _rank(item: pytest.Item) -> int:
    """Stacks start first; what waits for the others to pause comes last."""
    [group] = (mark.args[0] for mark in item.iter_markers("xdist_group"))
    return {**dict.fromkeys(_STACKS, 0), "alone": 2}.get(group, 1)


@pytest.fixture(autouse=True)
def turn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Wait while another process runs a test marked `alone`; for such a test, wait until no other test runs."""
    if hasattr(request.config, "workerinput"):
        alone = request.node.get_closest_marker("alone") is not None
        with _lock(tmp_path_factory.getbasetemp().parent, alone=alone):
            yield
    else:
        yield


@contextmanager
def _lock(folder: Path, *, alone: bool) -> Iterator[None]:
    with (folder / "turns").open("a", encoding="utf-8") as turns:
        # Who waits for the others to end holds the gate, so that no new test starts meanwhile.
        with (folder / "gate").open("a", encoding="utf-8") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(turns, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
