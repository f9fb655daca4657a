"""What repeats is written once, and then counted."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from streamflow_logs import Event
from streamflow_logs.counting import MAX_KINDS, CountingHandler
from streamflow_logs.formatters import JsonFormatter

_BOUND_S = 30


class _Lines(io.StringIO):
    """A stream that tells when it has so many lines."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def write(self, text: str) -> int:
        with self._changed:
            written = super().write(text)
            self._changed.notify_all()
        return written

    def lines(self, at_least: int = 0) -> list[dict[str, Any]]:
        with self._changed:
            enough = self._changed.wait_for(lambda: self.getvalue().count("\n") >= at_least, _BOUND_S)
            assert enough
            return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def written() -> _Lines:
    return _Lines()


@pytest.fixture
def log(written: _Lines, request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    handler = CountingHandler(written, interval_s=getattr(request, "param", 3600.0))
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("somewhere")  # noqa: LOG001  # of this test alone
    logger.addHandler(handler)
    yield logger
    handler.close()


def _fail(log: logging.Logger, value: str) -> None:
    try:
        raise ValueError(value)  # noqa: TRY301  # what is logged
    except ValueError:
        log.exception(Event("read failed"))


def test_failures_alike_are_a_line_and_at_the_end_their_number(log: logging.Logger, written: _Lines) -> None:
    for number in range(100):
        _fail(log, f"{number}")
    log.handlers[0].close()
    first, second = written.lines()
    assert "count" not in first
    assert (second["event"], second["count"], second["exception"] == first["exception"]) == ("read failed", 99, True)


@pytest.mark.parametrize("log", [0.01], indirect=True)
def test_after_an_interval_their_number_is_told(log: logging.Logger, written: _Lines) -> None:
    log.warning("busy: %s", 1)
    log.warning("busy: %s", 2)
    # The interval may have ended between the two, so that each is a first one.
    lines = written.lines(at_least=2)
    assert [line.get("count") for line in lines] in ([None, 1], [None, None])


def test_other_texts_levels_loggers_and_places_are_other_kinds(log: logging.Logger, written: _Lines) -> None:
    for _ in range(2):
        _fail(log, "one")
        log.warning("busy: %s", 1)
        log.error("busy: %s", 1)
        log.warning("gone")
    assert len(written.lines()) == 4


def test_changes_are_told_each_time(log: logging.Logger, written: _Lines) -> None:
    for _ in range(3):
        log.warning(Event("not ready", reason="gone"))
        log.info(Event("ready"))
        log.info("of a library")
    assert len(written.lines()) == 9


def test_kinds_without_end_take_no_memory_without_end(log: logging.Logger, written: _Lines) -> None:
    for number in range(2 * MAX_KINDS):
        log.warning(f"text {number}")  # noqa: G004  # as libraries do
    assert len(written.lines()) == 2 * MAX_KINDS
    for _ in range(2):
        log.warning("text 1")
    assert len(written.lines()) == 2 * MAX_KINDS
