"""The gateway reads rows as they are stored where a feature server has the route for it, and Feast's JSON elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from aiohttp import web
from feature_gateway.errors import CredentialsRefusedError
from feature_gateway.settings import Settings
from feature_gateway.upstream.connections import Connections
from feature_gateway.upstream.feature_server import FeatureServer
from gateway_fakes import (
    CANARY_USER_ID,
    Gateway,
    contract_content,
    error_details,
    feast_answer,
    health_becomes,
    loaded_contract,
    serving,
)
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, GetUserFeaturesRequest

_STAMP = b"\x08\x80\xf0\xff\xae\x06"
_VALUES = {
    "profile_fv:months_active": b"\x20\x01",
    "profile_fv:monthly_fee": b"\x29\x9a\x99\x99\x99\x99\xd9\x3d\x40",
    "profile_fv:plan_stream_tv": None,
    "profile_fv:net_service": b"\x12\x03DSL",
    "profile_fv:score": b"\x35\x00\x00\x00\x3f",
    "usage_fv:watch_hours": b"\x29" + bytes(8),
    "usage_fv:score": b"\x29" + bytes(8),
}
_USER = "3413-BMNZE"
_Rows = Callable[[list[str], dict[str, list[Any]]], web.Response]


def _rows(references: list[str], columns: dict[str, list[Any]]) -> web.Response:
    count = len(columns["user_id"])
    views = list(dict.fromkeys(reference.partition(":")[0] for reference in references))
    row = [*([_STAMP] * len(views)), *(_VALUES[reference] for reference in references)]
    return web.Response(body=msgspec.msgpack.encode([views, [row] * count]), content_type="application/x-msgpack")


@dataclass
class _Server:
    """A feature server with or without the route, which notes what it is asked."""

    answer: _Rows | None = _rows
    """None where the server is a stock one."""

    max_rows: int = 1000
    asked: list[str] = field(default_factory=list)
    """By which route it was read for callers."""

    times_asked_for_route: int = 0
    url: str = ""
    authorizations: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    """Authorizations that each route refuses."""

    async def health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def about(self, request: web.Request) -> web.Response:
        self.times_asked_for_route += 1
        if request.headers.get("Authorization", "") in self.refused:
            return web.json_response({"detail": "Unauthorized"}, status=401)
        if self.answer is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        return web.json_response({"version": 1, "max_rows": self.max_rows, "max_bytes": 100_000})

    async def rows(self, request: web.Request) -> web.Response:
        selection, columns = msgspec.msgpack.decode(await request.read())
        self._note("rows", columns)
        self.authorizations.add(request.headers.get("Authorization", ""))
        if self.answer is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        return self.answer(msgspec.msgpack.decode(selection), columns)

    async def json(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._note("json", body["entities"])
        if request.headers.get("Authorization", "") in self.refused:
            return web.json_response({"detail": "Unauthorized"}, status=401)
        return web.json_response(feast_answer(body))

    def _note(self, route: str, columns: dict[str, list[Any]]) -> None:
        if columns["user_id"] != [CANARY_USER_ID]:
            self.asked.append(route)


@asynccontextmanager
async def _running(server: _Server, port: int = 0) -> AsyncIterator[_Server]:
    app = web.Application()
    app.router.add_get("/health", server.health)
    app.router.add_get("/rows/v1", server.about)
    app.router.add_post("/rows/v1", server.rows)
    app.router.add_post("/get-online-features", server.json)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _gateway(settings: Settings, *servers: _Server) -> AsyncIterator[Gateway]:
    async with (
        asyncio.timeout(30),
        serving(replace(settings, feature_server_urls=tuple(server.url for server in servers))) as gateway,
    ):
        yield gateway


async def _read(gateway: Gateway) -> None:
    reply = await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=10)
    features = reply.user_features.features
    assert [(f.name, f.WhichOneof("value")) for f in features] == [
        ("months_active", "int64_value"),
        ("monthly_fee", "double_value"),
        ("plan_stream_tv", None),
        ("net_service", "string_value"),
    ]
    assert (features[0].int64_value, features[1].double_value, features[3].string_value) == (1, 29.85, "DSL")


async def test_rows_are_read_as_they_are_stored_where_the_server_has_the_route(settings: Settings) -> None:
    async with _running(_Server()) as server, _gateway(settings, server) as gateway:
        await _read(gateway)
        await _read(gateway)
    assert server.asked == ["rows", "rows"]


async def test_a_stock_server_is_asked_once_whether_it_has_the_route(settings: Settings) -> None:
    async with _running(_Server(answer=None)) as server, _gateway(settings, server) as gateway:
        for _ in range(6):
            await _read(gateway)
    assert server.asked == ["json"] * 6
    # One more for the gateway's own reads, which may be under way at the same time.
    assert 1 <= server.times_asked_for_route <= 2


async def test_a_read_that_finds_the_route_gone_is_answered_by_json(settings: Settings) -> None:
    async with _running(_Server()) as server, _gateway(settings, server) as gateway:
        await _read(gateway)
        server.answer = None
        await _read(gateway)
        await _read(gateway)
    assert server.asked == ["rows", "rows", "json", "json"]


@pytest.mark.parametrize(("first", "second"), [(_rows, None), (None, _rows)])
async def test_a_replaced_server_is_asked_again(settings: Settings, first: _Rows | None, second: _Rows | None) -> None:
    async with AsyncExitStack() as until:
        one = await until.enter_async_context(_running(_Server(first)))
        port = int(one.url.rpartition(":")[2])
        async with _gateway(settings, one) as gateway:
            await _read(gateway)
            await until.aclose()
            async with _running(_Server(second), port) as other:
                await _read(gateway)
    assert one.asked == ["rows" if first else "json"]
    assert other.asked == ["rows" if second else "json"]


async def test_servers_of_both_kinds_work_together(settings: Settings) -> None:
    # A canary read is a server's turn too.
    without_canary_reads = replace(settings, readiness_interval_s=300.0)
    async with (
        _running(_Server()) as ours,
        _running(_Server(answer=None)) as stock,
        _gateway(without_canary_reads, ours, stock) as gateway,
    ):
        await health_becomes(gateway.channel, "SERVING")
        for _ in range(6):
            await _read(gateway)
    assert ours.asked == ["rows"] * 3
    assert stock.asked == ["json"] * 3


async def test_servers_of_a_mixed_set_are_replaced_by_the_other_kind_and_no_answer_is_wrong_or_lost(
    settings: Settings,
) -> None:
    enough = asyncio.Event()

    async def ask(gateway: Gateway) -> None:
        while not enough.is_set():
            await _read(gateway)

    async def is_asked(server: _Server) -> None:
        while not server.asked:  # noqa: ASYNC110  # it is not told
            await asyncio.sleep(0)

    async def replaced(server: _Server, by: _Server, running: AsyncExitStack, until: AsyncExitStack) -> None:
        await is_asked(server)
        port = int(server.url.rpartition(":")[2])
        await running.aclose()
        await until.enter_async_context(_running(by, port))
        await is_asked(by)

    ours, stock, then_stock, then_ours = _Server(), _Server(None), _Server(None), _Server()
    async with AsyncExitStack() as until, AsyncExitStack() as first, AsyncExitStack() as second:
        await first.enter_async_context(_running(ours))
        await second.enter_async_context(_running(stock))
        gateway = await until.enter_async_context(_gateway(settings, ours, stock))
        async with asyncio.TaskGroup() as callers:
            for _ in range(4):
                callers.create_task(ask(gateway))
            await replaced(ours, then_stock, first, until)
            await replaced(stock, then_ours, second, until)
            enough.set()
    assert [set(one.asked) for one in (ours, stock, then_stock, then_ours)] == [{"rows"}, {"json"}, {"json"}, {"rows"}]


async def test_more_rows_than_the_route_takes_are_read_by_json(settings: Settings) -> None:
    async with _running(_Server(max_rows=2)) as server, _gateway(settings, server) as gateway:
        user_ids = [f"000{number}-AAAAA" for number in range(3)]
        reply = await gateway.stub.BatchGetUserFeatures(BatchGetUserFeaturesRequest(user_ids=user_ids), timeout=10)
        await _read(gateway)
    assert [result.user_features.user_known for result in reply.results] == [True] * 3
    assert server.asked == ["json", "rows"]


async def test_an_authorization_is_sent_on(settings: Settings) -> None:
    async with _running(_Server()) as server, _gateway(settings, server) as gateway:
        await gateway.stub.GetUserFeatures(
            GetUserFeaturesRequest(user_id=_USER), timeout=10, metadata=(("authorization", "Bearer x"),)
        )
    assert "Bearer x" in server.authorizations


async def test_a_caller_whose_credentials_are_refused_does_not_lead_others_to_json(tmp_path: Path) -> None:
    feature_set = loaded_contract(tmp_path, contract_content()).services["churn_v1"]
    async with _running(_Server(refused={"Bearer revoked"})) as server, Connections() as connections:
        reader = FeatureServer(server.url, connections=connections)
        with pytest.raises(CredentialsRefusedError):
            await reader.read_rows(feature_set, [(_USER,)], authorization="Bearer revoked", timeout_s=10)
        await reader.read_rows(feature_set, [(_USER,)], authorization="Bearer good", timeout_s=10)
    assert server.asked == ["json", "rows"]


def _says(status: int, body: bytes) -> _Rows:
    return lambda _references, _columns: web.Response(status=status, body=body)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_says(500, b'"Timeout reading from 127.0.0.1:6380"'), "UPSTREAM_UNAVAILABLE"),
        (_says(500, b"\"'Feature x not found in projection profile_fv'\""), "UPSTREAM_MISMATCH"),
        (_says(404, rb'"{\"class\": \"FeatureViewNotFoundException\"}"'), "UPSTREAM_MISMATCH"),
        (_says(422, b'{"detail": "no"}'), "UPSTREAM_MISMATCH"),
        (_says(200, b""), "UPSTREAM_MISMATCH"),
        (_says(200, b"<html>"), "UPSTREAM_MISMATCH"),
        (_says(200, msgspec.msgpack.encode(None)), "UPSTREAM_MISMATCH"),
        (_says(200, msgspec.msgpack.encode([["profile_fv"], []])), "UPSTREAM_MISMATCH"),
        (_says(200, msgspec.msgpack.encode([["profile_fv"], [[_STAMP]]])), "UPSTREAM_MISMATCH"),
        (_says(200, msgspec.msgpack.encode([["other_fv"], [[_STAMP, *_VALUES.values()]]])), "UPSTREAM_MISMATCH"),
    ],
)
async def test_a_failing_route_gives_its_true_code(settings: Settings, answer: _Rows, reason: str) -> None:
    async with _running(_Server(answer)) as server, _gateway(settings, server) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=10)
    assert error_details(raised.value)[0].reason == f"ERROR_REASON_{reason}"
    assert "json" not in server.asked
