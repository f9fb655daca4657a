"""What the span of a read says, and which calls it is linked with."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from aiohttp import web
from feature_gateway.settings import Settings
from feature_gateway.tracing.tracer import Tracing
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer, running_feature_server, serving
from held_answers import HeldAnswers
from otlp_receiver import Receiver
from traced_gateway import GET, NOT_SAMPLED, SAMPLED, TRACE, answered, get, until_it_waits


async def test_a_read_is_the_calls_child_and_its_context_goes_to_the_feature_server(
    gateway: Gateway, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    heard: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        heard.append(request.headers["traceparent"])
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = answer
    await get(gateway, SAMPLED)
    read, call = receiver.one("read"), receiver.one(GET)
    assert (read.trace_id, read.parent_id, read.kind) == (TRACE, call.span_id, "client")
    assert heard == [f"00-{TRACE}-{read.span_id}-01"]
    assert read.attributes == {"gateway.rows": 1, "gateway.rows_asked": 1}
    assert [name for name, _ in read.events] == ["sent"]
    ((_, server),) = read.events
    assert feature_server.url == f"http://{server['server.address']}:{server['server.port']}"


async def test_calls_that_share_a_read_are_linked_with_its_one_span(
    gateway: Gateway, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = held = HeldAnswers(answered)
    first = asyncio.create_task(get(gateway))
    await held.arrived.wait()
    calls = [asyncio.create_task(get(gateway)) for _ in range(2)]
    calls.append(asyncio.create_task(get(gateway, NOT_SAMPLED)))
    await until_it_waits(gateway, 3)
    held.gate.set()
    await asyncio.gather(first, *calls)
    alone, shared = sorted(receiver.wait_for("read", 2), key=lambda read: read.start_ns)
    traced = {call.span_id: call for call in receiver.wait_for(GET, 3)}
    parent = traced.pop(shared.parent_id)
    (other,) = [call for call in traced.values() if call.span_id != alone.parent_id]
    assert shared.attributes == {"gateway.rows": 1, "gateway.rows_asked": 3}
    assert sorted(shared.links) == sorted([parent.span_id, other.span_id])
    assert (parent.links, other.links) == ([], [shared.span_id])
    assert parent.trace_id != other.trace_id
    assert [call.attributes.get("gateway.coalesced") for call in (parent, other)] == [True, True]
    assert other.attributes["gateway.wait_s"] > 0
    assert "gateway.coalesced" not in traced[alone.parent_id].attributes


async def test_a_read_that_is_tried_again_says_so_and_where_it_went(
    settings: Settings, tracing: Tracing, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(running_feature_server())
        urls = (feature_server.url, second.url)
        gateway = await stack.enter_async_context(serving(replace(settings, feature_server_urls=urls), tracing=tracing))
        await get(gateway, NOT_SAMPLED)

        async def down(_request: web.Request) -> web.StreamResponse:
            feature_server.answer = second.answer = None
            return web.Response(status=503)

        feature_server.answer = second.answer = down
        await get(gateway)
    read, call = receiver.one("read"), receiver.one(GET)
    assert (read.attributes["gateway.retried"], call.attributes["gateway.retried"]) == (True, True)
    assert sorted(f"http://127.0.0.1:{sent['server.port']}" for _, sent in read.events) == sorted(urls)
    assert not read.failed


async def test_a_read_that_is_hedged_says_so(
    settings: Settings, tracing: Tracing, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(running_feature_server())
        urls = (feature_server.url, second.url)
        gateway = await stack.enter_async_context(
            serving(replace(settings, feature_server_urls=urls, hedge=True), tracing=tracing)
        )
        for _ in range(40):
            await get(gateway, NOT_SAMPLED)
        held = HeldAnswers(answered)

        async def slow(request: web.Request) -> web.StreamResponse:
            feature_server.answer = second.answer = None
            return await held(request)

        feature_server.answer = second.answer = slow
        await get(gateway)
        held.gate.set()
    read, call = receiver.one("read"), receiver.one(GET)
    assert (read.attributes["gateway.hedged"], call.attributes["gateway.hedged"]) == (True, True)
    assert len(read.events) == 2
