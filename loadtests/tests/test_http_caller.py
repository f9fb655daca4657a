"""Calls of feast serve against servers that answer, close and break off on purpose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from streamflow_loadtests.callers.calls import Reply
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.http_client import HttpClient
from streamflow_repo import JOIN_KEY

_REPLY = orjson.dumps(
    {
        "metadata": {"feature_names": ["plan", JOIN_KEY]},
        "results": [
            {"values": ["basic", None], "event_timestamps": ["2024-02-29T00:00:00Z"] * 2},
            {"values": ["u1", "u2"], "event_timestamps": ["1970-01-01T00:00:00Z"] * 2},
        ],
    }
)
_REPLIES = [Reply(user_id="u1", values={"plan": "basic"}), Reply(user_id="u2", values={"plan": None})]

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def _ok(content: bytes, *, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + more + b"Content-Length: %d\r\n\r\n" % len(content) + content


@asynccontextmanager
async def _served(answer: Answer) -> AsyncIterator[tuple[HttpClient, list[object]]]:
    """A caller of a server that hands each request's body to `answer`, and the connections that it has had."""
    connections: list[object] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                await answer(await reader.readexactly(length), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    caller = HttpClient(port, selection={"feature_service": "churn_v1"}, join_key=JOIN_KEY)
    try:
        yield caller, connections
    finally:
        await caller.close()
        server.close()


async def _ask(caller: HttpClient) -> list[Reply]:
    async with asyncio.timeout(10):
        return list(await caller.ask(["u1", "u2"]))


async def test_one_connection_carries_one_request_after_another() -> None:
    asked: list[object] = []

    async def answer(body: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(orjson.loads(body))
        writer.write(_ok(_REPLY))
        await writer.drain()

    async with _served(answer) as (caller, connections):
        assert [await _ask(caller) for _ in range(3)] == [_REPLIES] * 3
        assert len(connections) == 1
        assert asked == [{"feature_service": "churn_v1", "entities": {JOIN_KEY: ["u1", "u2"]}}] * 3


async def test_callers_at_once_have_a_connection_each() -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(_ok(_REPLY))

    async with _served(answer) as (caller, connections):
        assert await asyncio.gather(*(_ask(caller) for _ in range(5))) == [_REPLIES] * 5
        assert len(connections) == 5


async def test_a_connection_that_the_server_closes_after_its_reply_is_not_used_again() -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(_ok(_REPLY, more=b"Connection: close\r\n"))
        writer.close()

    async with _served(answer) as (caller, connections):
        assert [await _ask(caller) for _ in range(2)] == [_REPLIES] * 2
        assert (len(connections), caller.resends) == (2, 0)


async def test_a_request_whose_connection_is_closed_before_a_reply_is_sent_again() -> None:
    closed: list[bytes] = []

    async def answer(body: bytes, writer: asyncio.StreamWriter) -> None:
        if closed:
            writer.write(_ok(_REPLY))
        else:
            closed.append(body)
            writer.close()

    async with _served(answer) as (caller, connections):
        assert await _ask(caller) == _REPLIES
        assert (len(connections), caller.resends) == (2, 1)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nwhy?", r"^HTTP 500: why\?$"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", r"^ClientPayloadError: "),
        (b"what?\r\n\r\n", r"^ClientResponseError: "),
        (_ok(b'{"detail":"none"}'), r"^malformed reply: "),
        (_ok(b"{"), r"^malformed reply: \{$"),
        (_ok(_REPLY.replace(b",null]", b"]")), r"^another number of users than was asked for$"),
    ],
)
async def test_what_is_no_reply_fails_the_call(told: bytes, reason: str) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(told)
        await writer.drain()
        writer.close()

    async with _served(answer) as (caller, _):
        with pytest.raises(CallError, match=reason):
            await _ask(caller)
        assert caller.resends == 0


async def test_a_call_without_a_reply_in_time_fails() -> None:
    async def answer(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with _served(answer) as (caller, _):
        with pytest.raises(CallError, match=r"^TimeoutError"):
            await caller.ask(["u1"], timeout_s=0.05)
