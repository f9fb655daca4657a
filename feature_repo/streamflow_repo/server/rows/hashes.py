"""Reads hashes of Redis by the client of Feast's online store, in one exchange.

Feast's pipeline packs all fields again for each row. Here a selection's fields are packed once, and a read joins them
with the keys. What is sent and received goes through redis-py's own connection, so that its reconnects, timeouts, TLS
and users stay. A cluster's client knows where each key is, and has its own pipeline.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool, Redis


class HashFields:
    """Fields that are read of many hashes."""

    def __init__(self, fields: Sequence[bytes]) -> None:
        """Pack the command for the fields."""
        self._fields = fields
        self._head = b"*%d\r\n$5\r\nHMGET\r\n" % (2 + len(fields))
        self._tail = b"".join([b"$%d\r\n%b\r\n" % (len(field), field) for field in fields])

    def packed(self, keys: Sequence[bytes]) -> bytes:
        """Return the commands that read the hashes of the keys, as Redis receives them."""
        head, tail = self._head, self._tail
        return b"".join([b"%b$%d\r\n%b\r\n%b" % (head, len(key), key, tail) for key in keys])

    def add_to(self, pipeline: Any, keys: Sequence[bytes]) -> None:
        """Add the same commands to a pipeline of redis-py."""
        for key in keys:
            pipeline.hmget(key, self._fields)


async def read_hashes(client: Any, asked: Sequence[tuple[HashFields, Sequence[bytes]]]) -> list[list[Any]]:
    """Return for each of `asked` one list a key: the value of each field, None where there is none.

    Raises redis.RedisError.
    """
    counts = [len(keys) for _, keys in asked]
    if isinstance(client, Redis):
        replies = await _exchanged(client, b"".join([fields.packed(keys) for fields, keys in asked]), sum(counts))
    else:
        async with client.pipeline(transaction=False) as pipeline:
            for fields, keys in asked:
                fields.add_to(pipeline, keys)
            replies = await pipeline.execute()
    rest = iter(replies)
    return [replies] if len(asked) == 1 else [[next(rest) for _ in range(count)] for count in counts]


async def _exchanged(client: Redis, commands: bytes, count: int) -> list[list[bytes | None]]:
    pool: Any = client.connection_pool
    connection = await _taken(pool)

    async def exchange() -> list[list[bytes | None]]:
        try:
            await connection.send_packed_command(commands)
            return await _received(connection, count)
        except BaseException:
            # Replies to the other commands may be under way.
            await connection.disconnect(nowait=True)
            raise

    async def failed(_: Exception) -> None:
        await connection.disconnect()

    try:
        replies: list[list[bytes | None]] = await connection.retry.call_with_retry(exchange, failed)
    finally:
        await pool.release(connection)
    return replies


async def _taken(pool: Any) -> Any:
    """Return a connection of the pool; one that Redis has closed meanwhile is opened again as it is used."""
    if type(pool) is not ConnectionPool:
        return await pool.get_connection()
    # `get_connection` looks for what has come on the connection by a read that times out, and takes a fifth of a read's
    # time with it. Nothing has come but the end: a connection whose replies were not all taken is not kept.
    connection: Any = pool.get_available_connection()  # type: ignore[no-untyped-call]  # has no types
    stream = connection._reader  # noqa: SLF001  # redis-py has no public name for it
    if stream is not None and stream.at_eof():
        await connection.disconnect()
    return connection


async def _received(connection: Any, count: int) -> list[list[bytes | None]]:
    replies = [await connection.read_response()]
    # Most other replies have come with the first. `read_response` takes three times as long for each.
    parsed = connection._parser._reader.gets  # noqa: SLF001  # redis-py has no public name for it
    while len(replies) < count:
        reply = parsed()
        if isinstance(reply, Exception):
            raise reply
        replies.append(reply if type(reply) is list else await connection.read_response())
    return replies
