"""What is made of files is made again when they change, whatever a change brings."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

import pytest
from feature_gateway import renewed
from feature_gateway.errors import StartError
from feature_gateway.renewed import Renewed, keep_renewed

_BOUND_S = 30


def _number_in(file: Path) -> Renewed[int]:
    """Hold 60 divided by the file's number: no number is refused, and no code foresees 0."""
    return Renewed(lambda: 60 // int(file.read_text()), [file], what="the number")


def _replace(file: Path, content: str) -> None:
    """Replace a file as Kubernetes and editors do, so that its inode changes whatever the clock says."""
    new = file.with_suffix(".new")
    new.write_text(content)
    new.replace(file)


@pytest.mark.parametrize(("content", "why"), [("none", "invalid literal"), ("0", "unforeseen failure")])
def test_a_change_that_cannot_be_used_is_told_once_and_leaves_what_was_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str, why: str
) -> None:
    file = tmp_path / "number"
    file.write_text("2")
    number = _number_in(file)
    _replace(file, content)
    assert not number.check()
    assert not number.check()
    assert (number.current, number.refused) == (30, True)
    assert [why in record.getMessage() for record in caplog.records] == [True]
    _replace(file, "3")
    assert number.check()
    assert (number.current, number.refused) == (20, False)


def test_files_that_cannot_be_used_at_the_start_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"the number: .*No such file"):
        _number_in(tmp_path / "number")


async def test_what_is_kept_renewed_outlives_an_unforeseen_failure_and_says_what_was_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(renewed, "POLL_INTERVAL_S", 0.001)
    caplog.set_level(logging.INFO)
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        file.write_text("2")
    numbers = [_number_in(file) for file in files]
    told: asyncio.Queue[object] = asyncio.Queue()
    keeping = asyncio.create_task(keep_renewed(numbers, changed=told.put_nowait))
    try:
        _replace(files[0], "0")
        async with asyncio.timeout(_BOUND_S):
            # Both are checked in one turn, so the first has failed when the second is reported.
            _replace(files[1], "3")
            assert await told.get() == numbers[1:]
            assert numbers[0].refused
            _replace(files[0], "4")
            assert await told.get() == numbers[:1]
        assert [number.current for number in numbers] == [15, 20]
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
