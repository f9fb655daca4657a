"""A command sends a trace of its steps, in the trace of whoever started it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from online_stores import OnlineStores
from otlp_receiver import Receiver, otlp_receiver

_TRACE, _PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_TIMEOUT_S = 120


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


def _run(receiver: Receiver, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "offline"), *arguments],
        env={**os.environ, **receiver.environment, **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )


def test_a_commands_steps_are_spans_of_its_callers_trace(
    online_stores: OnlineStores, write_month: Callable[..., Path], receiver: Receiver
) -> None:
    urls = {"POSTGRES_URL": online_stores.postgres_url, "REDIS_URL": online_stores.redis_url}
    carried = {"TRACEPARENT": f"00-{_TRACE}-{_PARENT}-01"}
    ingested = _run(receiver, "ingest", str(write_month()), **urls, **carried)
    assert ingested.returncode == 0, ingested.stderr
    command = receiver.one("offline ingest")
    assert (command.service, command.trace_id, command.parent_id) == ("streamflow-offline", _TRACE, _PARENT)
    checked, loaded = receiver.one("check files"), receiver.one("load month")
    assert {checked.parent_id, loaded.parent_id} == {command.span_id}
    assert loaded.attributes == {"offline.month": "month_000"}
    assert not command.failed


def test_a_command_that_fails_has_the_class_of_its_error_and_no_text(receiver: Receiver, tmp_path: Path) -> None:
    failed = _run(
        receiver,
        "ingest",
        str(tmp_path / "whose-folder"),
        POSTGRES_URL="postgresql://nobody@db/streamflow",
        REDIS_URL="redis://cache",
    )
    assert failed.returncode == 1
    command = receiver.one("offline ingest")
    assert (command.failed, command.attributes) == (True, {"error.type": "JobError"})
    assert b"whose-folder" not in command.message.SerializeToString()


def test_an_exporter_that_is_not_installed_is_one_line(receiver: Receiver) -> None:
    ended = _run(receiver, "--help", OTEL_TRACES_EXPORTER="zipkin")
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: traces are to be exported by zipkin, which is not installed: install streamflow-offline[tracing]\n",
    )
