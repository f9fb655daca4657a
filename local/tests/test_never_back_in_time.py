"""Whatever writes older rows to a stack's Redis, every user's newest row stays, in front of both feature servers."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from stack_under_test import BIN, CANARY, CHECKOUT, Stack
from streamflow_local import ports
from streamflow_local.stack import feature_server
from streamflow_local.testing import running, wait_for_port
from streamflow_repo.settings.connections import feast_environment
from streamflow_repo.settings.feature_server import Routes

_TIMEOUT_S = 300
_OLDER = {
    "user_id": [CANARY],
    "as_of": ["2024-01-31T00:00:00Z"],
    "ingested_at": ["2024-02-01T00:00:00Z"],
    "failed_payments_90d": [98],
}


@pytest.fixture(scope="module")
def writing_url(either_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one more feature server over the stack's stores, which has Feast's routes that write."""
    port, log = ports.free_port(), tmp_path_factory.mktemp("writing") / "server.log"
    spec = feature_server(port, server=either_stack.config.feature_server)
    stores = feast_environment(
        postgres_url=either_stack.postgres_url, redis_url=either_stack.config.redis_url, redis_timeout_s=_TIMEOUT_S
    )
    environment = {**spec.environment, **stores, "FEATURE_SERVER_ROUTES": Routes.ALL.value}
    with running(replace(spec, environment=environment), log=log):
        wait_for_port(port, log=log, timeout_s=_TIMEOUT_S)
        yield f"http://127.0.0.1:{port}"


def _feast_materialize(stack: Stack, _url: str) -> None:
    command = f"{BIN / 'feast'} materialize 2024-01-01T00:00:00 2024-02-15T00:00:00"
    subprocess.run(
        ["bash", "-c", f". {stack.layout.environment_file} && exec {command}"],
        cwd=CHECKOUT / "feature_repo",
        check=True,
        capture_output=True,
        timeout=_TIMEOUT_S,
    )


def _post_materialize(_stack: Stack, url: str) -> None:
    _post(url, "/materialize", {"start_ts": "2024-01-01T00:00:00", "end_ts": "2024-02-15T00:00:00"})


def _post_an_older_row(_stack: Stack, url: str) -> None:
    _post(url, "/write-to-online-store", {"feature_view_name": "payments_agg_90d_fv", "df": _OLDER})


def _post(url: str, path: str, body: object) -> None:
    request = urllib.request.Request(  # noqa: S310  # http by construction
        f"{url}{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310  # the same
        assert reply.status == 200


@pytest.mark.parametrize(
    "write", [pytest.param(_feast_materialize, marks=pytest.mark.slow), _post_materialize, _post_an_older_row]
)
def test_older_rows_leave_the_newest(
    either_stack: Stack, write: Callable[[Stack, str], None], writing_url: str
) -> None:
    before = either_stack.ask(CANARY)
    assert {f"{moment:%F}" for moment in before.event_timestamps.values() if moment} == {"2024-02-29"}

    write(either_stack, writing_url)

    after = either_stack.ask(CANARY)
    assert after.event_timestamps == before.event_timestamps
    assert dict(after) == dict(before)
