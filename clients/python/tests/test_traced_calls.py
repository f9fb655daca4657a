"""A program that records traces: its calls, the requests that they share, and the gateway's spans are of one trace."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import traced_caller
from feature_gateway.settings import Settings
from feature_gateway.tracing.setup import tracing_of
from gateway_fakes import Gateway, serving
from otlp_receiver import BOUND_S, Received, Receiver, otlp_receiver

_SERVICE = "streamflow.features.v1.UserFeatureService"
_GET, _BATCH = f"{_SERVICE}/GetUserFeatures", f"{_SERVICE}/BatchGetUserFeatures"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture
async def gateway(settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    for name, text in receiver.environment.items():
        monkeypatch.setenv(name, text)
    tracing = tracing_of(os.environ)
    async with serving(settings, tracing=tracing) as running:
        yield running
    assert tracing is not None
    tracing.close()


async def _calls_until_a_request_is_shared(face: str, gateway: Gateway, receiver: Receiver) -> str:
    """Have a program call; return what its interceptor saw."""
    variables = {"PATH": os.environ["PATH"], **receiver.environment, "OTEL_SERVICE_NAME": "caller"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(traced_caller.__file__)), face, gateway.addresses.grpc),
        env=variables,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    output = asyncio.create_task(process.stdout.read())
    try:
        await asyncio.to_thread(receiver.wait_until, lambda: any(len(span.links) > 1 for span in _batches(receiver)))
        process.stdin.close()
        async with asyncio.timeout(BOUND_S):
            assert await process.wait() == 0
            return (await output).decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _of_caller(receiver: Receiver, name: str) -> list[Received]:
    return [span for span in receiver.named(name) if span.service == "caller"]


def _batches(receiver: Receiver) -> list[Received]:
    return _of_caller(receiver, _BATCH)


async def test_calls_that_share_a_request_are_linked_with_its_span(
    face: str, gateway: Gateway, receiver: Receiver
) -> None:
    seen = await _calls_until_a_request_is_shared(face, gateway, receiver)
    calls = {span.span_id: span for span in _of_caller(receiver, _GET)}
    works = {span.span_id for span in receiver.named("work")}
    (batch, *_) = [span for span in _batches(receiver) if len(span.links) > 1]
    shared = [calls[link] for link in batch.links]
    assert batch.parent_id == shared[0].span_id
    assert [call.links for call in shared] == [[], *([[batch.span_id]] * (len(shared) - 1))]
    assert {call.parent_id for call in shared} <= works
    assert {call.kind for call in (batch, *shared)} == {"client"}
    assert batch.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": _BATCH,
        "rpc.response.status_code": "OK",
    }
    # An interceptor sees each request with its context.
    assert f"/{_BATCH} 00-{batch.trace_id}-{batch.span_id}-" in seen


async def test_a_trace_goes_from_the_caller_to_the_gateways_read(
    face: str, gateway: Gateway, receiver: Receiver
) -> None:
    await _calls_until_a_request_is_shared(face, gateway, receiver)
    parents = {span.span_id: span for span in receiver.spans}
    ways = []
    span: Received | None = next(one for one in receiver.wait_for("read") if parents[one.parent_id].name == _GET)
    while span is not None:
        ways.append((span.service, span.name))
        span = parents.get(span.parent_id)
    assert ways == [("feature-gateway", "read"), ("feature-gateway", _GET), ("caller", _GET), ("caller", "work")]


async def test_a_call_that_fails_has_its_code(face: str, gateway: Gateway, receiver: Receiver) -> None:
    await _calls_until_a_request_is_shared(face, gateway, receiver)
    (failed,) = [span for span in _of_caller(receiver, _GET) if span.failed]
    assert failed.attributes["rpc.response.status_code"] == failed.attributes["error.type"] == "INVALID_ARGUMENT"


async def test_the_readme_has_every_attribute_and_no_other(face: str, gateway: Gateway, receiver: Receiver) -> None:
    await _calls_until_a_request_is_shared(face, gateway, receiver)
    found = {name for span in (*_of_caller(receiver, _GET), *_batches(receiver)) for name in span.attributes}
    table = (Path(__file__).parent.parent / "README.md").read_text().split("## Tracing")[1].split("\n\nCalls")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z_.]+)`", row)} == found
