"""What the feature servers' start changes in Feast changes none of its replies."""

import json
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from feast import feature_server_utils
from feast.feature_server_utils import convert_response_to_dict
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import DataError
from streamflow_repo.server.redis_connection import hiredis_packing, pack_by_hiredis
from streamflow_repo.server.replies import OrjsonResponse, formatted_once, with_names

_STAMPS = ((0, 0), (1709164800, 0), (1709164800, 5), (1709164800, 5_000_000), (-1, 0), (-1, 5_000))


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


def test_timestamps_are_written_as_feast_writes_them() -> None:
    once = formatted_once(feature_server_utils._timestamp_to_str)
    convert = with_names(convert_response_to_dict, _timestamp_to_str=once)
    feasts = convert_response_to_dict(_reply())
    assert convert(_reply()) == feasts
    assert convert(_reply()) == feasts


def test_a_name_that_feast_no_longer_has_is_named_at_the_start() -> None:
    with pytest.raises(LookupError, match=r"feast\.feature_server_utils of this Feast has no _gone to replace"):
        with_names(convert_response_to_dict, _gone=None)


def test_a_reply_says_the_same_in_orjsons_text() -> None:
    content = convert_response_to_dict(_reply())
    ours = OrjsonResponse(content=content, status_code=409)
    assert json.loads(bytes(ours.body)) == json.loads(bytes(JSONResponse(content=content).body))
    assert (ours.status_code, ours.media_type) == (409, "application/json")


_COMMANDS: tuple[tuple[Any, ...], ...] = (
    ("HMGET", b"\x00key", b"\xff" * 4, "_ts:view"),
    ("CONFIG GET", "save"),
    (b"CLIENT INFO",),
    ("SETEX", "key", 10, 1.5, ""),
    ("SET", "key", "x" * 100_000),
)


@pytest.mark.parametrize("kind", [Connection, SSLConnection])
def test_commands_are_packed_as_redis_py_packs_them(kind: type[Any]) -> None:
    pythons: Any = kind()
    ours: Any = hiredis_packing(kind)()
    packed = [b"".join(pythons.pack_command(*command)) for command in _COMMANDS]
    assert [b"".join(ours.pack_command(*command)) for command in _COMMANDS] == packed
    assert b"".join(ours.pack_commands(_COMMANDS)) == b"".join(packed)
    with pytest.raises(DataError):
        ours.pack_command("SET", "key", {"a": 1})


async def test_every_connection_of_a_client_packs_by_hiredis() -> None:
    async with Redis() as one:
        pack_by_hiredis(one)
        assert issubclass(one.connection_pool.connection_class, _packs())
    cluster = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", 7000)])
    pack_by_hiredis(cluster)
    assert issubclass(cluster.connection_kwargs["connection_class"], _packs())
    assert all(issubclass(node.connection_class, _packs()) for node in cluster.nodes_manager.startup_nodes.values())


def _packs() -> type[Any]:
    """What all connection classes that pack by hiredis have in common."""
    return hiredis_packing(Connection).__mro__[1]
