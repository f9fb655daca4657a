"""A connection of redis-py's asynchronous client that encodes commands in C, as the synchronous client does."""

from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.connection import HiredisRespSerializer

_packer = HiredisRespSerializer()


class _HiredisPacking:
    def pack_command(self, *args: Any) -> list[bytes]:
        packed: list[bytes] = _packer.pack(*args)
        return packed


def pack_by_hiredis(client: "Redis | RedisCluster") -> None:
    """Have each connection that a client opens from now on encode its commands by hiredis."""
    if isinstance(client, RedisCluster):
        _replace_connection_class(client.connection_kwargs)
        for node in client.nodes_manager.startup_nodes.values():
            node.connection_class = hiredis_packing(node.connection_class)
        return
    client.connection_pool.connection_class = hiredis_packing(client.connection_pool.connection_class)


def _replace_connection_class(settings: dict[str, Any]) -> None:
    settings["connection_class"] = hiredis_packing(settings["connection_class"])


def hiredis_packing(connection_class: type[Any]) -> type[Any]:
    """Return a subclass of a connection class of redis-py that encodes commands by hiredis."""
    return type(f"HiredisPacking{connection_class.__name__}", (_HiredisPacking, connection_class), {})
