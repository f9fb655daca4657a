"""A line of the log, as text and as JSON."""

import json
import logging
import re
import subprocess
import sys
import warnings

import pytest
from opentelemetry import context, trace
from streamflow_logs import Event, Format, LogSettingError, LogSettings, configure
from streamflow_logs.trace import current_trace_id

_OWN = "of_this_project"
_log = logging.getLogger(f"{_OWN}.somewhere")
_JSON = LogSettings(format=Format.JSON)
_FORGED = "a\n2026-01-01T00:00:00Z ERROR forged\r\x1b[31m\u2028\x85\u202eb"
_TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736


def _line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    [line] = capsys.readouterr().err.splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_a_line_of_text_has_time_level_logger_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(), own=[_OWN])
    _log.info(Event("call failed", reason="two words", count=3, lasted_s=1 / 3, method=None))
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO of_this_project\.somewhere "
        r'call failed: reason="two words" count=3 lasted_s=0\.333333\n',
        line,
    )


def test_a_line_of_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure(_JSON, own=[_OWN])
    _log.warning(Event("call failed", reason="two words", count=3))
    line = _line(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("time")))
    assert line == {
        "level": "warning",
        "event": "call failed",
        "reason": "two words",
        "count": 3,
        "logger": "of_this_project.somewhere",
    }


@pytest.mark.parametrize("form", Format)
def test_no_value_forges_a_line(capsys: pytest.CaptureFixture[str], form: Format) -> None:
    configure(LogSettings(format=form), own=[_OWN])
    _log.warning(Event("files refused", reason=_FORGED))
    _log.warning("of a library: %s", _FORGED)
    lines = capsys.readouterr().err.split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("form", Format)
def test_libraries_write_the_same_way_from_warnings_on(capsys: pytest.CaptureFixture[str], form: Format) -> None:
    configure(LogSettings(format=form, level=logging.DEBUG), own=[_OWN])
    library = logging.getLogger("aiohttp.server")
    library.info("one")
    library.warning("two of %s", "three")
    [line] = capsys.readouterr().err.splitlines()
    assert "two of three" in line
    assert line.startswith("{") == (form is Format.JSON)


def test_a_traceback_is_a_field_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(_JSON, own=[_OWN])
    try:
        raise ConnectionRefusedError(111, "Connection refused")
    except OSError:
        _log.exception(Event("unforeseen failure", of="canary read"))
    line = _line(capsys)
    assert (line["event"], line["of"]) == ("unforeseen failure", "canary read")
    assert str(line["exception"]).endswith("\nConnectionRefusedError: [Errno 111] Connection refused")


def test_pythons_warnings_are_lines_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(_JSON, own=[_OWN])
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        # pytest has replaced the function with which logging captures warnings: capture again.
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("goes away", DeprecationWarning, stacklevel=1)
    line = _line(capsys)
    assert "DeprecationWarning: goes away" in str(line["event"])
    assert line["logger"] == "py.warnings"


@pytest.mark.parametrize("form", Format)
def test_a_line_has_the_trace_id_of_the_current_span(capsys: pytest.CaptureFixture[str], form: Format) -> None:
    configure(LogSettings(format=form), own=[_OWN])
    span = trace.NonRecordingSpan(trace.SpanContext(_TRACE, 1, is_remote=False))
    token = context.attach(trace.set_span_in_context(span))
    try:
        _log.info(Event("ready"))
    finally:
        context.detach(token)
    _log.info(Event("ready"))
    inside, outside = capsys.readouterr().err.splitlines()
    assert f"{_TRACE:032x}" in inside
    assert "trace_id" not in outside


def test_code_without_a_current_span_can_name_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    configure(_JSON, own=[_OWN])
    token = current_trace_id.set("abc")
    try:
        _log.info(Event("ready"))
    finally:
        current_trace_id.reset(token)
    assert _line(capsys)["trace_id"] == "abc"


def test_the_level_is_that_of_own_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings.from_environment({"STREAMFLOW_LOG_LEVEL": "error"}), own=[_OWN])
    _log.warning(Event("not ready"))
    _log.error(Event("contract refused"))
    assert capsys.readouterr().err.endswith("contract refused\n")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"STREAMFLOW_LOG_FORMAT": "xml"}, "STREAMFLOW_LOG_FORMAT is 'xml'; set it to text or json"),
        (
            {"STREAMFLOW_LOG_LEVEL": "INFO"},
            "STREAMFLOW_LOG_LEVEL is 'INFO'; set it to one of debug, info, warning, error",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_value(variables: dict[str, str], message: str) -> None:
    with pytest.raises(LogSettingError, match=re.escape(message)):
        LogSettings.from_environment(variables)


_PROGRAM = """
import sys
from streamflow_logs import LogSettings, Format, configure, end_with
configure(LogSettings(format=Format(sys.argv[1])), own=[])
if sys.argv[2] == "known":
    end_with("program: no such file", "no such file")
raise ValueError("SEC" + "RET")
"""


def _ended(form: Format, how: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, form, how], check=False, capture_output=True, text=True, timeout=120
    )
    return ended.returncode, ended.stderr


def test_a_process_that_cannot_go_on_says_why_in_one_line() -> None:
    assert _ended(Format.TEXT, "known") == (1, "program: no such file\n")
    code, line = _ended(Format.JSON, "known")
    said = json.loads(line)
    assert (code, said["level"], said["event"], said["reason"]) == (1, "critical", "failed", "no such file")


def test_what_nobody_has_foreseen_is_a_line_of_json_without_the_exceptions_text() -> None:
    code, line = _ended(Format.JSON, "unknown")
    said = json.loads(line)
    assert (code, said["reason"], said["exception"].endswith("\nValueError")) == (1, "unforeseen failure", True)
    assert "SECRET" not in line
