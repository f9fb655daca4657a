"""Credentials that end while they are in use: open streams end with them, and a token is replaced under load."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from access_fakes import TIMEOUT_S, USER, Issuer, Place, Shown, becomes, unary, with_jwts, with_tokens, write_tokens
from feature_gateway import renewed
from feature_gateway.server import running_gateway
from feature_gateway.settings import Settings
from streamflow.features.v1 import user_feature_service_pb2 as pb2
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub


@pytest.fixture(autouse=True)
def _rereads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewed, "POLL_INTERVAL_S", 0.01)


@pytest.fixture(params=["grpcio", "native"])
def engine_settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    return replace(settings, grpc_engine=request.param)


@asynccontextmanager
async def _answered_stream(place: Place, shown: Shown) -> AsyncIterator[Any]:
    """A stream that has had one question answered, and of which nothing is asked."""
    async with asyncio.timeout(TIMEOUT_S), place.channel(shown) as channel:
        stub: Any = UserFeatureServiceStub(channel)
        call = stub.StreamUserFeatures(metadata=shown.metadata)
        await call.write(pb2.StreamUserFeaturesRequest(request_id=1, request=pb2.GetUserFeaturesRequest(user_id=USER)))
        answer = await call.read()
        assert answer.WhichOneof("result") == "response"
        yield call


async def _ends_unauthenticated(stream: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream.read()
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_stream_ends_when_its_token_is_revoked_though_nothing_is_asked(
    engine_settings: Settings, tmp_path: Path
) -> None:
    gated = with_tokens(engine_settings, tmp_path, {"a": "x", "b": "y"})
    async with running_gateway(gated) as addresses:
        place = Place(addresses)
        async with _answered_stream(place, Shown("Bearer x")) as ends, _answered_stream(place, Shown("Bearer y")) as on:
            write_tokens(tmp_path / "tokens", {"b": "y"})
            await _ends_unauthenticated(ends)
            assert not on.done()


async def test_a_stream_ends_when_its_token_expires(engine_settings: Settings, tmp_path: Path) -> None:
    issuer = Issuer()
    gated = replace(with_jwts(engine_settings, tmp_path, issuer.jwk()), jwt_leeway_s=0.0)
    async with running_gateway(gated) as addresses:
        # Longer where a busy machine has not answered in time.
        for life_s in (2, 8, 20):
            shown = Shown(f"Bearer {issuer.token(exp=int(time.time()) + life_s)}")
            with suppress(grpc.aio.AioRpcError):
                async with _answered_stream(Place(addresses), shown) as stream:
                    await _ends_unauthenticated(stream)
                    return
    pytest.fail("no stream was answered")


async def test_a_token_is_replaced_under_load_without_a_refused_call(engine_settings: Settings, tmp_path: Path) -> None:
    gated = with_tokens(engine_settings, tmp_path, {"a": "old"})
    current, tokens = ["old"], tmp_path / "tokens"
    using: dict[int, str] = {}
    codes: set[str] = set()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(TIMEOUT_S))
        addresses = await stack.enter_async_context(running_gateway(gated))
        channel = await stack.enter_async_context(Place(addresses).channel(Shown()))
        ended = asyncio.Event()

        async def ask(token: str) -> str:
            return await unary(channel, "GetUserFeatures", Shown(f"Bearer {token}"))

        async def call_on(caller: int) -> None:
            while not ended.is_set():
                using[caller] = current[0]
                codes.add(await ask(current[0]))

        callers = [asyncio.create_task(call_on(number)) for number in range(8)]
        for number in range(5):
            old, new = current[0], f"new-{number}"
            # As `add` does, and then `remove --keep-last`.
            write_tokens(tokens, {"a": old, "b": new})
            await becomes("OK", partial(ask, new))
            current[0] = new
            while set(using.values()) != {new}:
                await ask(new)
            write_tokens(tokens, {"b": new})
            await becomes("UNAUTHENTICATED", partial(ask, old))
        ended.set()
        await asyncio.gather(*callers)
    assert codes == {"OK"}
