"""The log shows where an exception was raised, and no text that may have a user's value."""

import logging

import pytest
from streamflow_logs import LogSettings, configure

_OWN = "of_this_project"
_log = logging.getLogger(f"{_OWN}.somewhere")


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
    configure(LogSettings(), own=[_OWN])
    text = _logged(capsys, ValueError("SECRET of user B"))
    assert "unforeseen failure\nTraceback (most recent call last):\n" in text
    assert "\nKeyError\n" in text
    assert text.endswith("\nValueError\n")
    assert "in _logged" in text
    assert "SECRET" not in text.replace('raise KeyError("SECRET inside")', "")


def test_what_the_system_says_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(), own=[_OWN])
    assert _logged(capsys, OSError(24, "Too many open files")).endswith("\nOSError: [Errno 24] Too many open files\n")


def test_what_a_package_says_is_well_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(), own=[_OWN], shown=(LookupError,))
    assert "KeyError: 'SECRET inside'\n" in _logged(capsys, ValueError("of user B"))


def test_the_texts_are_shown_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(level=logging.DEBUG), own=[_OWN])
    assert "SECRET of user B" in _logged(capsys, ValueError("SECRET of user B"))


def test_what_asyncio_and_feast_put_into_their_messages_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(), own=[_OWN])
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: KeyError('SECRET')")
    logging.getLogger("fastapi").error('Traceback (most recent call last):\n  File "x"\nKeyError: SECRET')
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("ERROR asyncio Task exception was never retrieved")
    assert second.endswith("ERROR fastapi unforeseen failure")
