"""What the feature servers' start changes in Feast changes none of its replies."""

import asyncio
import json
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from feast import feature_server, feature_server_utils
from feast.feature_server_utils import convert_response_to_dict
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import DataError
from streamflow_repo.server.redis_commands import pack_by_hiredis
from streamflow_repo.server.replies import OrjsonResponse, remember_timestamps, write_at_once

_server: Any = feature_server
_STAMPS = ((0, 0), (1709164800, 0), (1709164800, 5), (1709164800, 5_000_000), (-1, 0), (-1, 5_000))


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> None:
    # Put back after the test.
    for place, name in (
        (feature_server_utils, "_timestamp_to_str"),
        (feature_server, "run_in_threadpool"),
        (feature_server, "JSONResponse"),
        (AbstractConnection, "pack_command"),
    ):
        monkeypatch.setattr(place, name, getattr(place, name))


def _reply() -> GetOnlineFeaturesResponse:
    reply = GetOnlineFeaturesResponse()
    for value in (
        {"double_val": 1.5},
        {"double_val": 1e300},
        {"double_val": float("nan")},
        {"double_val": float("-inf")},
        {"float_val": 0.1},
        {"int64_val": -(2**63)},
        {"bool_val": True},
        {"string_val": 'déjà\n"\u2028\U0001f600'},
        {"bytes_val": b"\x00\xff"},
        {},
    ):
        column = reply.results.add()
        for seconds, nanos in _STAMPS:
            column.values.add(**value)
            column.event_timestamps.add(seconds=seconds, nanos=nanos)
            column.statuses.append(FieldStatus.PRESENT)
    return reply


@pytest.mark.usefixtures("original")
def test_timestamps_are_written_as_feast_writes_them() -> None:
    feasts = convert_response_to_dict(_reply())
    remember_timestamps()
    assert convert_response_to_dict(_reply()) == feasts
    assert convert_response_to_dict(_reply()) == feasts


def test_a_reply_says_the_same_in_orjsons_text() -> None:
    content = convert_response_to_dict(_reply())
    ours = OrjsonResponse(content=content, status_code=409)
    assert json.loads(bytes(ours.body)) == json.loads(bytes(JSONResponse(content=content).body))
    assert (ours.status_code, ours.media_type) == (409, "application/json")


@pytest.mark.usefixtures("original")
def test_replies_are_written_on_the_event_loop_and_all_else_in_threads() -> None:
    write_at_once()

    async def ran_in(work: Any, *args: Any) -> Any:
        return await _server.run_in_threadpool(work, *args)

    assert asyncio.run(ran_in(convert_response_to_dict, _reply())) == convert_response_to_dict(_reply())
    assert asyncio.run(ran_in(_runs_on_an_event_loop)) is False
    assert _server.JSONResponse is OrjsonResponse


def _runs_on_an_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_COMMANDS: tuple[tuple[Any, ...], ...] = (
    ("HMGET", b"\x00key", b"\xff" * 4, "_ts:view"),
    ("CONFIG GET", "save"),
    (b"CLIENT INFO",),
    ("SETEX", "key", 10, 1.5, ""),
    ("SET", "key", "x" * 100_000),
)


@pytest.mark.usefixtures("original")
def test_commands_are_packed_as_redis_py_packs_them() -> None:
    connection: Any = Connection()
    pythons = [b"".join(connection.pack_command(*command)) for command in _COMMANDS]
    pack_by_hiredis()
    assert [b"".join(connection.pack_command(*command)) for command in _COMMANDS] == pythons
    assert b"".join(connection.pack_commands(_COMMANDS)) == b"".join(pythons)
    with pytest.raises(DataError):
        connection.pack_command("SET", "key", {"a": 1})
