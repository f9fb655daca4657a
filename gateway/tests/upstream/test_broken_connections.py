"""What calls get while a feature server's connections break, by the route for rows as they are stored."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import msgspec
import pytest
import rows_route_fakes
import uvicorn
from feature_gateway.settings import Settings
from gateway_fakes import CANARY_USER_ID, TYPES, Gateway, error_details, feast_answer, serving
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest

_USER, _OTHER = "3413-BMNZE", "0001-AAAAA"
_MONTHS = {_USER: 3, _OTHER: 7, CANARY_USER_ID: 0}
_BOUND_S = 30


def _json(question: dict[str, Any]) -> bytes:
    values = {reference.replace(":", "__"): None for reference in TYPES}
    user_ids = question["entities"]["user_id"]
    answer = feast_answer(question, values=values)
    for name, column in zip(answer["metadata"]["feature_names"], answer["results"], strict=True):
        if name == "profile_fv__months_active":
            column["values"] = [_MONTHS[user_id] for user_id in user_ids]
    return json.dumps(answer).encode()


def _rows(body: bytes) -> tuple[list[str], bytes]:
    """The users of a request for rows, and the body of its reply."""
    selection, columns = msgspec.msgpack.decode(body)
    references = msgspec.msgpack.decode(selection)
    answer = _json({"features": references, "entities": columns})
    return columns["user_id"], rows_route_fakes.rows_of(answer, references, TYPES)


def _http(body: bytes, *, announced: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) if announced is None else announced) + body


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    reads: int = 0
    """How many reads of callers came by it."""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hang(self) -> None:
        """Return when the caller has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1024):
                pass

    def reset(self) -> None:
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


_Act = Callable[[_Connection, bytes], Awaitable[None]]
"""Answers a read of a caller on a connection, given the body of the right reply."""


async def _answers(connection: _Connection, body: bytes) -> None:
    await connection.send(_http(body))


@dataclass
class _Server:
    """A feature server with the route for rows; a caller's read is answered by `act`."""

    act: _Act = _answers
    url: str = ""
    connections: list[_Connection] = field(default_factory=list)
    under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(_Connection(reader, writer)))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def _serve(self, connection: _Connection) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not connection.writer.is_closing():
                head = await connection.reader.readuntil(b"\r\n\r\n")
                await self._answer(connection, head)
        connection.writer.close()

    async def _answer(self, connection: _Connection, head: bytes) -> None:
        if head.startswith(b"GET /rows/v1"):
            await connection.send(_http(json.dumps(rows_route_fakes.ABOUT).encode()))
            return
        if head.startswith(b"GET"):
            await connection.send(_http(b""))
            return
        assert head.startswith(b"POST /rows/v1"), head
        (length,) = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        user_ids, reply = _rows(await connection.reader.readexactly(int(length.split(b":")[1])))
        if user_ids == [CANARY_USER_ID]:
            await connection.send(_http(reply))
            return
        connection.reads += 1
        if connection not in self.connections:
            self.connections.append(connection)
        await self.act(connection, reply)


@asynccontextmanager
async def _running(*acts: _Act, settings: Settings) -> AsyncIterator[tuple[list[_Server], Gateway]]:
    """A gateway in front of a server for each of `acts`."""
    servers = [_Server(act) for act in acts]
    listeners = [await asyncio.start_server(server.accept, "127.0.0.1", 0) for server in servers]
    urls = tuple(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}" for listener in listeners)
    async with asyncio.timeout(_BOUND_S):
        try:
            async with serving(replace(settings, feature_server_urls=urls)) as gateway:
                yield servers, gateway
        finally:
            for listener in listeners:
                listener.close()
            await asyncio.gather(*(task for server in servers for task in server.under_way))


async def _months(gateway: Gateway, user_id: str = _USER, *, timeout_s: float = _BOUND_S) -> int:
    reply = await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=user_id), timeout=timeout_s)
    return reply.user_features.features[0].int64_value


async def _failure(call: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code().name, error_details(raised.value)[0].reason.removeprefix("ERROR_REASON_")


async def _closes(connection: _Connection) -> None:
    connection.writer.close()


async def _resets(connection: _Connection) -> None:
    connection.reset()


@pytest.mark.parametrize("end", [_closes, _resets])
async def test_a_connection_that_ends_as_a_read_starts_is_replaced_without_an_error(
    settings: Settings, caplog: pytest.LogCaptureFixture, end: Callable[[_Connection], Awaitable[None]]
) -> None:
    async def act(connection: _Connection, body: bytes) -> None:
        if connection.reads > 1:
            await end(connection)
        else:
            await _answers(connection, body)

    async with _running(act, settings=settings) as ((server,), gateway):
        for _ in range(10):
            assert await _months(gateway) == _MONTHS[_USER]
    assert len(server.connections) >= 10
    assert "ejected" not in caplog.text


async def test_a_connection_of_which_the_server_has_closed_its_side_is_not_used_again(settings: Settings) -> None:
    async def act(connection: _Connection, body: bytes) -> None:
        await _answers(connection, body)
        connection.writer.write_eof()

    async with _running(act, settings=settings) as ((server,), gateway):
        for user_id in (_USER, _OTHER, _USER):
            assert await _months(gateway, user_id) == _MONTHS[user_id]
    assert [connection.reads for connection in server.connections] == [1, 1, 1]


async def test_a_server_that_hangs_in_the_middle_of_a_reply_holds_one_call_until_its_deadline(
    settings: Settings,
) -> None:
    async def act(connection: _Connection, body: bytes) -> None:
        if not hung.is_set():
            await connection.send(_http(body)[:-5])
            hung.set()
            await connection.hang()
            closed.set()
        else:
            await _answers(connection, body)

    hung, closed = asyncio.Event(), asyncio.Event()
    # A margin far above scheduling noise, so that the gateway's answer is what the caller sees.
    async with _running(act, settings=replace(settings, deadline_margin_s=1.0)) as (_, gateway):
        assert (await _failure(_months(gateway, timeout_s=1.5)))[0] == "DEADLINE_EXCEEDED"
        await closed.wait()
        assert await _months(gateway, _OTHER) == _MONTHS[_OTHER]


async def test_the_rest_of_a_cancelled_reads_reply_is_nobodys(settings: Settings) -> None:
    async def act(connection: _Connection, body: bytes) -> None:
        if not half.is_set():
            reply = _http(body)
            await connection.send(reply[:-5])
            half.set()
            await cancelled.wait()
            with contextlib.suppress(ConnectionError):
                await connection.send(reply[-5:])
        else:
            await _answers(connection, body)

    half, cancelled = asyncio.Event(), asyncio.Event()
    async with _running(act, settings=settings) as (_, gateway):
        call = asyncio.ensure_future(_months(gateway))
        await half.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        cancelled.set()
        for user_id in (_OTHER, _USER):
            assert await _months(gateway, user_id) == _MONTHS[user_id]


def _evil(user_id: str) -> bytes:
    """A whole reply about another user."""
    selection = msgspec.msgpack.encode(["profile_fv:months_active"])
    return _http(_rows(msgspec.msgpack.encode((selection, {"user_id": [user_id]})))[1])


@pytest.mark.parametrize("extra", [b"more", b"\r\n\r\n", _evil(_OTHER)], ids=["junk", "line ends", "a reply"])
async def test_what_is_sent_beyond_an_announced_reply_is_nobodys(settings: Settings, extra: bytes) -> None:
    async def act(connection: _Connection, body: bytes) -> None:
        await connection.send(_http(body) + extra)

    async with _running(act, settings=settings) as (_, gateway):
        for _ in range(5):
            for user_id in (_USER, _OTHER):
                assert await _months(gateway, user_id) == _MONTHS[user_id]


async def test_a_reply_that_is_longer_than_it_says_is_a_mismatch_of_its_call_alone(settings: Settings) -> None:
    async def act(connection: _Connection, body: bytes) -> None:
        wrong = len(server.connections) == 1
        await connection.send(_http(body, announced=len(body) - 3 if wrong else None))

    async with _running(act, settings=settings) as ((server,), gateway):
        assert await _failure(_months(gateway)) == ("INTERNAL", "UPSTREAM_MISMATCH")
        assert await _months(gateway, _OTHER) == _MONTHS[_OTHER]


@pytest.mark.parametrize("end", [_closes, _resets])
async def test_a_reply_that_is_cut_is_read_from_another_server(
    settings: Settings, end: Callable[[_Connection], Awaitable[None]]
) -> None:
    async def cuts(connection: _Connection, body: bytes) -> None:
        await connection.send(_http(body)[:-5])
        await end(connection)

    async with _running(cuts, settings=settings) as (_, gateway):
        assert await _failure(_months(gateway)) == ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
    async with _running(cuts, _answers, settings=settings) as (_, gateway):
        for user_id in (_USER, _OTHER, _USER):
            assert await _months(gateway, user_id) == _MONTHS[user_id]


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """The route for rows and Feast's own, without a length, so that uvicorn sends chunks."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"] == "/rows/v1":
        reply = json.dumps(rows_route_fakes.ABOUT).encode() if scope["method"] == "GET" else _rows(body)[1]
    else:
        reply = _json(json.loads(body)) if body else b""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for at in range(0, len(reply), 10):
        await send({"type": "http.response.body", "body": reply[at : at + 10], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("keep_alive_s", [0, 30])
@pytest.mark.parametrize("implementation", ["h11", "httptools"])
async def test_uvicorns_chunks_are_read_even_if_it_closes_each_connection_as_soon_as_it_is_idle(
    settings: Settings, caplog: pytest.LogCaptureFixture, implementation: Any, keep_alive_s: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            _app, http=implementation, ws="none", lifespan="off", log_config=None, timeout_keep_alive=keep_alive_s
        )
        server = uvicorn.Server(config)
        running = asyncio.ensure_future(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.timeout(_BOUND_S), serving(replace(settings, feature_server_urls=(url,))) as gateway:
            for _ in range(20):
                found = await asyncio.gather(*(_months(gateway, user_id) for user_id in (_USER, _OTHER)))
                assert found == [_MONTHS[_USER], _MONTHS[_OTHER]]
            server.should_exit = True
        await running
    assert "ejected" not in caplog.text
