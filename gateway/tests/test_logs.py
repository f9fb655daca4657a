"""The log of the process shows where an exception was raised, and no text that may have a user's value."""

import logging
from collections.abc import Iterator

import pytest
from feature_gateway.logs import configure_logging

_log = logging.getLogger("feature_gateway.somewhere")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, gateway = logging.getLogger(), logging.getLogger("feature_gateway")
    handlers, level, gateway_level = root.handlers[:], root.level, gateway.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    gateway.setLevel(gateway_level)


def _inner() -> None:
    raise KeyError("SECRET inside")


def _logged(capsys: pytest.CaptureFixture[str], error: Exception) -> str:
    try:
        try:
            _inner()
        except KeyError:
            raise error  # noqa: B904  # its context is what is looked at
    except type(error):
        _log.exception("unforeseen failure")
    return capsys.readouterr().err


def test_an_exceptions_type_and_lines_are_shown_and_not_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    text = _logged(capsys, ValueError("SECRET of user B"))
    assert "unforeseen failure\nTraceback (most recent call last):\n" in text
    assert "\nKeyError\n" in text
    assert text.endswith("\nValueError\n")
    assert "in _logged" in text
    assert "SECRET" not in text.replace('raise KeyError("SECRET inside")', "")


def test_what_the_system_says_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    assert _logged(capsys, OSError(24, "Too many open files")).endswith("\nOSError: [Errno 24] Too many open files\n")


def test_the_texts_are_shown_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("feature_gateway").setLevel(logging.DEBUG)
    assert "SECRET of user B" in _logged(capsys, ValueError("SECRET of user B"))
