"""What connections to the HTTP port can cost: time, size and number have bounds, and log lines can't be forged."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession, web
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, contract_content, feast_answer, serving, with_hash
from streamflow_logs import LogSettings, configure

_TIMEOUT_S = 20
_HEALTH = b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n"

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _connected(gateway: Gateway) -> AsyncIterator[_Streams]:
    host, port = gateway.addresses.http.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def _ended(reader: asyncio.StreamReader) -> bytes:
    """All that still comes until the gateway closes the connection."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def _status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: gate", _HEALTH], ids=["none", "some", "one"])
async def test_a_connection_without_a_whole_request_is_closed_in_time(settings: Settings, sent: bytes) -> None:
    async with (
        asyncio.timeout(_TIMEOUT_S),
        serving(replace(settings, http_keepalive_s=0.2)) as gateway,
        _connected(gateway) as (reader, writer),
    ):
        writer.write(sent)
        answered = await _ended(reader)
    assert answered.startswith(b"HTTP/1.1 200") == (sent == _HEALTH)


async def test_bytes_that_dribble_in_gain_no_time(settings: Settings) -> None:
    async with (
        asyncio.timeout(_TIMEOUT_S),
        serving(replace(settings, http_keepalive_s=0.3)) as gateway,
        _connected(gateway) as (reader, writer),
    ):

        async def dribble() -> None:
            while True:
                writer.write(b"GET /health HTTP/1.1\r\nHost: gateway\r\n" if not sent else b"X-Header: 1\r\n")
                sent.append(1)
                await asyncio.sleep(0.05)

        sent: list[int] = []
        dribbling = asyncio.create_task(dribble())
        assert await _ended(reader) == b""
        dribbling.cancel()


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /features/" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX-Header: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(200)) + b"\r\n",
        b"GET /health HTTP/1.1\r\n" + b"a" * 100_000,
    ],
    ids=["line", "field", "fields", "endless"],
)
async def test_too_large_a_head_is_refused_and_not_logged(
    gateway: Gateway, request_head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(_TIMEOUT_S), _connected(gateway) as (reader, writer):
        writer.write(request_head)
        assert await _status(reader) == 400
        await _ended(reader)
    assert [record for record in caplog.records if "aiohttp" in record.pathname] == []


@pytest.mark.parametrize("size", [150, 250])
async def test_a_header_has_at_most_so_many_bytes(settings: Settings, size: int) -> None:
    async with (
        asyncio.timeout(_TIMEOUT_S),
        serving(replace(settings, max_http_header_bytes=200)) as gateway,
        _connected(gateway) as (reader, writer),
    ):
        value = b"x" * (size - len("X-Header: "))
        writer.write(b"GET /health HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nX-Header: " + value + b"\r\n\r\n")
        answered = await _ended(reader)
    assert answered.split()[1] == (b"200" if size < 200 else b"400")
    assert size < 200 or b"application/problem+json" in answered
    assert b"xxx" not in answered


@pytest.mark.parametrize("max_age_s", [0.1, 0.0])
async def test_a_connection_ends_with_an_answer_after_its_age(settings: Settings, max_age_s: float) -> None:
    async with (
        asyncio.timeout(_TIMEOUT_S),
        serving(replace(settings, max_connection_age_s=max_age_s)) as gateway,
        _connected(gateway) as (reader, writer),
    ):
        began_s, answers = time.monotonic(), 0
        while time.monotonic() < began_s + 0.3:
            writer.write(_HEALTH)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}\n")
            answers += 1
            if b"Connection: close" in head:
                assert await _ended(reader) == b""
                break
        else:
            assert max_age_s == 0
            return
    assert max_age_s > 0
    assert answers > 1


async def test_a_request_with_a_body_is_answered_and_the_body_read_for_a_second_at_most(gateway: Gateway) -> None:
    async with asyncio.timeout(5), _connected(gateway) as (reader, writer):
        writer.write(b"POST /health HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1000000000\r\n\r\n" + b"a" * 1000)
        assert await _status(reader) == 405
        await _ended(reader)


async def test_idle_connections_are_bounded_and_keep_nobody_out(settings: Settings) -> None:
    async with (
        asyncio.timeout(_TIMEOUT_S),
        serving(replace(settings, max_http_connections=5)) as gateway,
        AsyncExitStack() as stack,
    ):
        idle = [await stack.enter_async_context(_connected(gateway)) for _ in range(40)]
        async with _connected(gateway) as (reader, writer):
            writer.write(_HEALTH)
            assert await _status(reader) == 200
            ends = [asyncio.create_task(_ended(reader)) for reader, _ in idle]
            while sum(end.done() for end in ends) < 36:  # noqa: ASYNC110  # within the time limit above
                await asyncio.sleep(0.01)
            still_open = [not end.done() for end in ends]
            assert sum(still_open) <= 4
            assert still_open[:36] == [False] * 36
        for end in ends:
            end.cancel()


async def test_connections_with_a_request_under_way_are_kept_and_a_further_one_is_closed(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        body = await request.json()
        arrived.set()
        await go.wait()
        return web.json_response(feast_answer(body))

    feature_server.answer = slow
    async with (
        asyncio.timeout(_TIMEOUT_S),
        serving(replace(settings, max_http_connections=1)) as gateway,
        _connected(gateway) as (reader, writer),
    ):
        writer.write(b"GET /features/3413-BMNZE?timeout_s=15 HTTP/1.1\r\nHost: gateway\r\n\r\n")
        await arrived.wait()
        async with _connected(gateway) as (other, other_writer):
            other_writer.write(_HEALTH)
            assert await _ended(other) == b""
        go.set()
        assert await _status(reader) == 200


async def test_who_does_not_read_replies_keeps_nobody_out(settings: Settings) -> None:
    async with (
        asyncio.timeout(_TIMEOUT_S),
        serving(replace(settings, max_http_connections=1)) as gateway,
        _connected(gateway) as (_, unread),
    ):
        unread.write(b"GET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n" * 1000)
        async with _connected(gateway) as (reader, writer):
            writer.write(_HEALTH)
            assert await _status(reader) == 200


async def test_a_path_is_not_in_the_log_so_that_it_shows_no_user_and_forges_no_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content: dict[str, Any] = contract_content()
    content["entities"][0]["pattern"] = None
    settings.contract_path.write_text(json.dumps(with_hash(content)))

    async def fail(*_: object, **__: object) -> None:
        raise KeyError

    monkeypatch.setattr(Lookup, "user_features", fail)
    configure(LogSettings(), own=["feature_gateway"])
    forged = "a%0A2026-01-01T00:00:00Z%20ERROR%20forged%0D%1B%5B31m%E2%80%A8%C2%85b"
    async with (
        serving(settings) as gateway,
        ClientSession() as session,
        session.get(f"{gateway.http_url}/features/{forged}") as response,
    ):
        assert response.status == 500
    logged = capsys.readouterr().err
    assert " unforeseen failure: of=http:/features\n" in logged
    assert "forged" not in logged
