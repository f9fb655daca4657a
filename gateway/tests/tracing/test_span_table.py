"""The README's table of spans and attributes."""

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from feature_gateway.tracing.tracer import Tracing
from gateway_fakes import FakeFeatureServer, running_feature_server, serving
from held_answers import HeldAnswers
from metric_samples import USER, ask, samples_once, value
from otlp_receiver import Receiver
from traced_gateway import answered, get


@pytest.mark.parametrize("grpc_engine", ["grpcio"])
async def test_the_readme_has_every_span_and_attribute_and_no_other(
    settings: Settings, tracing: Tracing, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(running_feature_server())
        urls = (feature_server.url, second.url)
        chosen = replace(settings, feature_server_urls=urls, hedge=True, stale_if_down_s=60.0, max_queued_calls=2)
        gateway = await stack.enter_async_context(serving(chosen, tracing=tracing))
        held = HeldAnswers(answered)

        async def down(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=503)

        for _ in range(40):
            await get(gateway)
        feature_server.answer = second.answer = held
        calls = [asyncio.create_task(ask(gateway)) for _ in range(8)]
        await samples_once(gateway, lambda samples: value(samples, "gateway_refused_calls_total") == 4)
        await samples_once(gateway, lambda samples: value(samples, "gateway_read_hedges_total") > 0)
        held.gate.set()
        await asyncio.gather(*calls)
        feature_server.answer = second.answer = down
        await get(gateway)
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.http_url}/features/{USER}"):
            pass
    tracing.close()
    found = {"call": set[str](), "read": set[str]()}
    for span in receiver.spans:
        events = [name for _, attributes in span.events for name in attributes]
        found["read" if span.name == "read" else "call"] |= {*span.attributes, *events}
    table = (Path(__file__).parents[2] / "README.md").read_text().split("## Traces")[1].split("## ")[0]
    rows = re.findall(r"^\| (.*?) ?\| (.*?) ?\| (.*?) ?\| .* \|$", table, re.MULTILINE)[1:]
    listed: dict[str, set[str]] = {"call": set(), "read": set()}
    of = "call"
    for name, _, attributes in rows:
        of = "read" if name == "`read`" else of
        listed[of] |= {*re.findall(r"`([a-z_.]+)`", attributes)}
    assert listed == found
