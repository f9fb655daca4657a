"""The route /rows/v1 while Redis is frozen, and after: reads end in time, and each read gets its own replies."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from rows_server import BOUND_S, NAME_VIEW, USER, Server, repository, serving
from streamflow_local import ports, valkey
from streamflow_local.testing import running, wait_for_port
from streamflow_local.waiting import wait_until

pytestmark = pytest.mark.slow

_CALLERS = 4
_OF_THIS_PROCESS = 1
_TIMEOUT_S = 0.25
# Feast's server and a busy machine take their time too.
_IN_TIME_S = 5.0
_USERS = [f"user-{number}" for number in range(200)]


@dataclass
class Bed:
    """A feature server over a Redis of its own, which may use no more connections than there are callers."""

    server: Server
    redis_port: int
    redis_pid: int

    def names(self, users: list[str]) -> list[str]:
        """What the route says of users, each of whom has his id as his name."""
        _, rows = self.server.rows(["name_fv:name"], {"user_id": users})
        return [Value.FromString(row[1] or b"").string_val for row in rows]

    def connections(self) -> int:
        with redis.Redis(port=self.redis_port, socket_timeout=BOUND_S) as client:
            return len(client.client_list()) - 1

    @contextmanager
    def frozen(self) -> Iterator[None]:
        os.kill(self.redis_pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.redis_pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def bed(state_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder, port = tmp_path_factory.mktemp("outages"), ports.free_port()
    log = folder / "valkey.log"
    with running(valkey.prepare(state_dir / "frozen-valkey", port=port), log=log) as pid:
        wait_for_port(port, log=log)
        timeouts = f"socket_timeout={_TIMEOUT_S},socket_connect_timeout={_TIMEOUT_S},retry=null"
        store = repository(folder, f"127.0.0.1:{port},{timeouts},max_connections={_CALLERS}")
        store.apply([USER, NAME_VIEW])
        moment = datetime(2024, 1, 1, tzinfo=UTC)
        rows: list[Any] = [
            (
                EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user)]),
                {"name": Value(string_val=user)},
                moment,
                None,
            )
            for user in _USERS
        ]
        store._get_provider().online_store.online_write_batch(store.config, NAME_VIEW, rows, None)
        with serving(store, folder, STREAMFLOW_LOG_FORMAT="json") as server:
            yield Bed(server, port, pid)


def test_reads_of_a_frozen_redis_fail_in_time_and_later_ones_get_their_own_replies(bed: Bed) -> None:
    assert bed.names(_USERS) == _USERS

    def ask(number: int) -> tuple[int, float]:
        started = time.monotonic()
        status, _, _ = bed.server.post(["name_fv:name"], {"user_id": [_USERS[number], *_USERS[:number]]})
        return status, time.monotonic() - started

    with ThreadPoolExecutor(_CALLERS) as threads:
        for _ in range(3):
            with bed.frozen():
                ended = list(threads.map(ask, range(2 * _CALLERS)))
            assert {status for status, _ in ended} == {500}
            assert max(seconds for _, seconds in ended) < _IN_TIME_S
            # Redis still answers what it was asked before; those replies are nobody's.
            wait_until(
                lambda: bed.names(_USERS[:1]),
                failing=AssertionError,
                timeout_s=BOUND_S,
                complaint=lambda: "reads do not go on",
            )
            asked = [[_USERS[number], *reversed(_USERS[number:])] for number in range(50)]
            assert list(threads.map(bed.names, asked)) == asked
    # A connection that was lost to a read would be missed here: the pool has one for each caller.
    assert bed.connections() <= _CALLERS + _OF_THIS_PROCESS


def test_a_server_whose_redis_is_frozen_lives_and_is_not_ready_until_redis_is_back(bed: Bed) -> None:
    def expect(status: int) -> None:
        assert bed.server.ask("GET", "/health?store")[0] == status

    expect(200)
    with bed.frozen():
        expect(503)
        assert bed.server.ask("GET", "/health")[0] == 200
    wait_until(
        lambda: expect(200), failing=AssertionError, timeout_s=BOUND_S, complaint=lambda: "the server is not ready"
    )


def test_a_redis_that_thaws_within_the_time_answers(bed: Bed) -> None:
    with ThreadPoolExecutor(1) as threads:
        with bed.frozen():
            answer = threads.submit(bed.names, _USERS)
        assert answer.result(BOUND_S) == _USERS


def test_a_redis_that_has_closed_all_connections_is_read_again(bed: Bed) -> None:
    with redis.Redis(port=bed.redis_port, socket_timeout=BOUND_S) as client:
        assert bed.names(_USERS[:3]) == _USERS[:3]
        client.client_kill_filter(_type="normal", skipme=True)
    # The server notices the ends of its connections at the latest with the next request.
    bed.server.ask("GET", "/rows/v1")
    assert bed.names(_USERS) == _USERS


def test_the_log_is_json_lines_that_count_the_failed_reads_and_name_no_user(bed: Bed) -> None:
    failing = 50
    with bed.frozen(), ThreadPoolExecutor(_CALLERS) as threads:
        statuses = list(
            threads.map(lambda user: bed.server.post(["name_fv:name"], {"user_id": [user]})[0], _USERS[:failing])
        )
        statuses += threads.map(
            lambda user: bed.server.feasts(["name_fv:name"], {"user_id": [user]})[0], _USERS[:failing]
        )
    assert statuses == [500] * (2 * failing)
    # Feast's own route logs what it can't read as a traceback.
    assert bed.server.feasts(["name_fv:name"], {"user_id": [["user-of-a-list"]]})[0] >= 400
    text = bed.server.log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert {"time", "level", "event", "logger"} <= set.intersection(*(set(line) for line in lines))
    assert {"gunicorn.error", "uvicorn.error", "streamflow_repo.server.rows.route"} <= {
        line["logger"] for line in lines
    }
    failed = [line for line in lines if line["event"] == "read failed"]
    assert 0 < len(failed) < failing / 2
    assert all(line["reason"].split(":")[0] in {"TimeoutError", "ConnectionError"} for line in failed)
    assert "user-" not in text
