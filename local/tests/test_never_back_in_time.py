"""Whatever writes older rows to a stack's Redis, every user's newest row stays, in front of both feature servers."""

import json
import subprocess
import urllib.request
from collections.abc import Callable

import pytest
from stack_under_test import BIN, CANARY, CHECKOUT, Stack

_OLDER = {
    "user_id": [CANARY],
    "as_of": ["2024-01-31T00:00:00Z"],
    "ingested_at": ["2024-02-01T00:00:00Z"],
    "failed_payments_90d": [98],
}


def _feast_materialize(stack: Stack) -> None:
    command = f"{BIN / 'feast'} materialize 2024-01-01T00:00:00 2024-02-15T00:00:00"
    subprocess.run(
        ["bash", "-c", f". {stack.layout.environment_file} && exec {command}"],
        cwd=CHECKOUT / "feature_repo",
        check=True,
        capture_output=True,
        timeout=300,
    )


def _post_materialize(stack: Stack) -> None:
    _post(stack, "/materialize", {"start_ts": "2024-01-01T00:00:00", "end_ts": "2024-02-15T00:00:00"})


def _post_an_older_row(stack: Stack) -> None:
    _post(stack, "/write-to-online-store", {"feature_view_name": "payments_agg_90d_fv", "df": _OLDER})


def _post(stack: Stack, path: str, body: object) -> None:
    request = urllib.request.Request(  # http by construction
        f"http://127.0.0.1:{stack.config.feature_server_port}{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as reply:  # noqa: S310  # the same
        assert reply.status == 200


@pytest.mark.parametrize(
    "write", [pytest.param(_feast_materialize, marks=pytest.mark.slow), _post_materialize, _post_an_older_row]
)
def test_older_rows_leave_the_newest(either_stack: Stack, write: Callable[[Stack], None]) -> None:
    before = either_stack.ask(CANARY)
    assert {f"{moment:%F}" for moment in before.event_timestamps.values() if moment} == {"2024-02-29"}

    write(either_stack)

    after = either_stack.ask(CANARY)
    assert after.event_timestamps == before.event_timestamps
    assert dict(after) == dict(before)
