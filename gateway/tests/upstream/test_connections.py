"""The HTTP/1.1 client of feature servers, against servers that send bytes of a test's choice."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from feature_gateway.upstream.connection import (
    MAX_ANSWER_MIB,
    AnswerTooLargeError,
    ConnectionFailedError,
    HungUpError,
)
from feature_gateway.upstream.connections import Connections
from feature_gateway.upstream.origin import Origin
from hypothesis import given
from hypothesis import strategies as st

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"
_TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\nhi"
_CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + _OK

_Act = Callable[[int, bytes, asyncio.StreamWriter], Awaitable[None]]
"""Answers the request of a number on a connection; the connection is the writer's."""


class _Server:
    """Answers each request by `act`, and counts connections and requests."""

    def __init__(self, act: _Act) -> None:
        self.act = act
        self.connections = 0
        self.requests: list[bytes] = []
        self.ended = asyncio.Event()
        self.under_way: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self.serve(reader, writer))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = 0
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
                body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
                self.requests.append(head + body)
                await self.act(number, head, writer)
                number += 1
        self.ended.set()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _sends(*parts: bytes, then_closes: bool = False) -> _Act:
    async def act(_number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if then_closes:
            writer.close()

    return act


@asynccontextmanager
async def _serving(
    act: _Act, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[_Server, Connections, Origin]]:
    server = _Server(act)
    listener = await asyncio.start_server(server.accept, host, 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    async with asyncio.timeout(20):
        try:
            async with Connections() as connections:
                yield server, connections, Origin(f"{'https' if tls else 'http'}://{name}:{port}/base")
        finally:
            listener.close()
            await asyncio.gather(*server.under_way)


async def _ask(connections: Connections, origin: Origin, body: bytes = b"x", **head: str) -> tuple[int, bytes]:
    start = origin.head("POST", "/path", length=len(body), **head)
    return await connections.ask(origin, lambda connection: connection.request(start, body))


@pytest.mark.parametrize("answer", [_OK, _CHUNKED, _CONTINUED])
async def test_a_connection_is_used_again(answer: bytes) -> None:
    async with _serving(_sends(answer)) as (server, connections, origin):
        for _ in range(3):
            assert await _ask(connections, origin) == (200, b"hi")
    assert server.connections == 1


@pytest.mark.parametrize("head", [b"Content-Length: 1000000000000", b"Transfer-Encoding: chunked", b"X: to the end"])
async def test_an_answer_without_end_is_given_up_at_the_bound(head: bytes) -> None:
    sent_bytes = 0

    async def endless(_number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        part = bytes(1 << 20)
        framed = b"%x\r\n%b\r\n" % (len(part), part) if b"chunked" in head else part
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        while True:
            writer.write(framed)
            await writer.drain()
            sent_bytes += len(part)

    async with _serving(endless) as (_, connections, origin):
        with pytest.raises(AnswerTooLargeError):
            await _ask(connections, origin)
    # What the two ends' buffers hold comes on top.
    assert MAX_ANSWER_MIB <= sent_bytes >> 20 < 2 * MAX_ANSWER_MIB


async def test_a_request_says_what_it_should() -> None:
    async with _serving(_sends(_OK)) as (server, connections, origin):
        await _ask(connections, origin, b"body", content_type="application/json", authorization="Bearer é\udcff")
    line, *headers, _, body = server.requests[0].split(b"\r\n")
    assert line == b"POST /base/path HTTP/1.1"
    assert {
        b"Host: 127.0.0.1:%d" % origin.port,
        b"Content-Type: application/json",
        "Authorization: Bearer é".encode() + b"\xff",
        b"Content-Length: 4",
    } <= set(headers)
    assert body == b"body"


def test_an_authorization_with_a_line_end_is_refused() -> None:
    with pytest.raises(ValueError, match="line ends"):
        Origin("http://host").head("GET", "/", authorization="Bearer x\r\nHost: other")


async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    both = asyncio.Barrier(2)

    async def act(_number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        await both.wait()
        writer.write(_OK)

    async with _serving(act) as (server, connections, origin):
        assert [*await asyncio.gather(_ask(connections, origin), _ask(connections, origin))] == [(200, b"hi")] * 2
    assert server.connections == 2


async def test_an_answer_may_end_with_its_connection() -> None:
    async with _serving(_sends(_TO_THE_END, then_closes=True)) as (server, connections, origin):
        assert await _ask(connections, origin) == (200, b"hi")
        assert await _ask(connections, origin) == (200, b"hi")
    assert server.connections == 2


async def test_a_server_that_says_close_is_connected_to_again() -> None:
    answer = _OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with _serving(_sends(answer)) as (server, connections, origin):
        assert await _ask(connections, origin) == (200, b"hi")
        assert await _ask(connections, origin) == (200, b"hi")
    assert server.connections == 2


async def test_a_connection_that_is_closed_as_it_is_used_again_is_replaced() -> None:
    async def act(number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        if number:
            writer.close()
        else:
            writer.write(_OK)

    async with _serving(act) as (server, connections, origin):
        for _ in range(3):
            assert await _ask(connections, origin) == (200, b"hi")
    assert server.connections == 3
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("act", "error"),
    [
        pytest.param(_sends(then_closes=True), HungUpError, id="at once"),
        pytest.param(_sends(_OK[:-1], then_closes=True), ConnectionFailedError, id="in the body"),
        pytest.param(_sends(_OK[:20], then_closes=True), ConnectionFailedError, id="in the head"),
        pytest.param(_sends(_CHUNKED[:-3], then_closes=True), ConnectionFailedError, id="in the last chunk"),
        pytest.param(_sends(b"SSH-2.0-x\r\n"), ConnectionFailedError, id="not HTTP"),
        pytest.param(_sends(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), ConnectionFailedError, id="an endless head"),
    ],
)
async def test_a_broken_answer_is_a_failure_that_is_not_sent_again(act: _Act, error: type[Exception]) -> None:
    async with _serving(act) as (server, connections, origin):
        with pytest.raises(error):
            await _ask(connections, origin)
    assert len(server.requests) == 1


async def test_a_caller_that_gives_up_leaves_no_answer_to_the_next() -> None:
    arrived = asyncio.Event()

    async def act(_number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        if arrived.is_set():
            writer.write(_OK)
        else:
            arrived.set()

    async with _serving(act) as (server, connections, origin):
        waiting = asyncio.ensure_future(_ask(connections, origin))
        await arrived.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await server.ended.wait()
        assert await _ask(connections, origin) == (200, b"hi")
    assert server.connections == 2


async def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    async with _serving(_sends(_OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")) as (
        server,
        connections,
        origin,
    ):
        assert await _ask(connections, origin) == (200, b"hi")
        assert await _ask(connections, origin) == (200, b"hi")
    assert server.connections == 2


async def test_a_refused_connection_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with Connections() as connections:
            with pytest.raises(ConnectionFailedError, match="can't connect"):
                await _ask(connections, Origin(f"http://127.0.0.1:{unused.getsockname()[1]}"))


async def test_a_name_without_an_address_is_told() -> None:
    async with Connections() as connections:
        with pytest.raises(ConnectionFailedError, match="can't connect"):
            await _ask(connections, Origin("http://no-such-host.invalid:1"))


async def test_addresses_are_taken_in_turn_and_others_where_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def addresses(_: Origin) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    monkeypatch.setattr(Origin, "addresses", addresses)
    async with _serving(_sends(_OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) as (
        server,
        connections,
        origin,
    ):
        # Nobody listens on 127.0.0.2.
        for _ in range(4):
            assert await _ask(connections, origin) == (200, b"hi")
    assert server.connections == 4


async def test_ipv6_works() -> None:
    async with _serving(_sends(_OK), host="::1") as (_, connections, origin):
        assert await _ask(connections, origin) == (200, b"hi")


async def test_a_certificate_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with _serving(_sends(_OK), tls=tls) as (_, connections, origin):
        with pytest.raises(ConnectionFailedError, match="CERTIFICATE_VERIFY_FAILED"):
            await _ask(connections, origin)
        file = tmp_path_factory.mktemp("tls") / "ca.pem"
        authority.cert_pem.write_to_path(str(file))
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        async with Connections() as others:
            assert await _ask(others, origin) == (200, b"hi")


@given(cuts=st.lists(st.integers(1, 10), max_size=30), answer=st.sampled_from([_OK, _CHUNKED, _CONTINUED]))
def test_an_answer_may_come_in_any_parts(cuts: list[int], answer: bytes) -> None:
    parts, rest = [], answer
    for cut in cuts:
        parts.append(rest[:cut])
        rest = rest[cut:]

    async def asked() -> None:
        async with _serving(_sends(*parts, rest)) as (server, connections, origin):
            assert await _ask(connections, origin) == (200, b"hi")
            assert await _ask(connections, origin) == (200, b"hi")
            assert server.connections == 1

    asyncio.run(asked())
