"""Keys that are fetched: rotated, replaced, hanging, wrong, gone for long; calls never wait for more than a second."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from access_fakes import TIMEOUT_S, Issuer, Place, Shown, becomes, unary, with_jwts
from aiohttp import web
from feature_gateway.access import jwks_url
from feature_gateway.access.jwks_url import JwksUrl
from feature_gateway.access.jwt_keys import key_set_of
from feature_gateway.server import running_gateway
from feature_gateway.settings import Settings

_ALGORITHMS = frozenset({"ES256"})


@dataclass
class _Keys:
    """An issuer's keys at a URL, as a test has them answered."""

    body: bytes = b""
    status: int = 200
    location: str = ""
    fetched: int = 0
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def has(self, *issuers: Issuer) -> None:
        self.body = json.dumps({"keys": [issuer.jwk() for issuer in issuers]}).encode()

    async def answer(self, _request: web.Request) -> web.Response:
        self.fetched += 1
        await self.answers.wait()
        headers = {"Location": self.location} if self.location else {}
        return web.Response(body=self.body, status=self.status, headers=headers)


@pytest.fixture
async def keys() -> AsyncIterator[_Keys]:
    served = _Keys()
    served.answers.set()
    app = web.Application()
    app.router.add_get("/jwks", served.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    yield served
    await runner.cleanup()


def _settings(settings: Settings, folder: Path, keys: _Keys) -> Settings:
    return replace(with_jwts(settings, folder), jwks_file=None, jwks_url=keys.url)


@asynccontextmanager
async def _kept(keys: _Keys, **options: Any) -> AsyncIterator[tuple[JwksUrl, list[int]]]:
    """Keys that are kept and were fetched, and the numbers of fetches after which others were there."""
    changes: list[int] = []
    first = asyncio.Event()

    def changed() -> None:
        changes.append(keys.fetched)
        first.set()

    values = {"refresh_s": 300.0, "max_age_s": 3600.0, "least_between_s": 0.0, **options}
    url = JwksUrl(keys.url, partial(key_set_of, algorithms=_ALGORITHMS), **values)
    task = asyncio.create_task(url.keep(changed))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await first.wait()
            yield url, changes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _fetched_again(keys: _Keys, url: JwksUrl) -> None:
    before = keys.fetched
    while keys.fetched == before:
        await url.refreshed()


async def test_a_token_with_a_new_key_is_answered_without_a_wait_for_the_next_fetch(
    settings: Settings, keys: _Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Issuer("old"), Issuer("new")
    keys.has(old)
    defaults = JwksUrl.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "least_between_s", 0.0)
    async with AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(running_gateway(_settings(settings, tmp_path, keys)))
        channel = await stack.enter_async_context(Place(addresses).channel(Shown()))
        by_old, by_new = (Shown(f"Bearer {issuer.token()}") for issuer in (old, new))
        await becomes("OK", lambda: unary(channel, "GetUserFeatures", by_old))
        assert await unary(channel, "GetUserFeatures", by_new) == "UNAUTHENTICATED"
        keys.has(old, new)
        assert await unary(channel, "GetUserFeatures", by_new) == "OK"
        assert await unary(channel, "GetUserFeatures", by_old) == "OK"
        keys.has(new)
        # Any unknown key has them fetched; the old key is then gone for tokens that were checked before, too.
        assert await unary(channel, "GetUserFeatures", Shown(f"Bearer {Issuer('x').token()}")) == "UNAUTHENTICATED"
        assert await unary(channel, "GetUserFeatures", by_old) == "UNAUTHENTICATED"
        assert await unary(channel, "GetUserFeatures", by_new) == "OK"


async def test_keys_are_replaced_under_load_without_a_refused_call(
    settings: Settings, keys: _Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    defaults = JwksUrl.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "now_s", lambda: clock[0])
    # Not what a busy machine takes.
    for bound in ("_MOST_WAIT_S", "_FETCH_S"):
        monkeypatch.setattr(jwks_url, bound, float(TIMEOUT_S))
    signs = [Issuer("key-0")]
    keys.has(signs[0])
    using: dict[int, Issuer] = {}
    answered: dict[int, Issuer] = {}
    codes: set[str] = set()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(TIMEOUT_S))
        addresses = await stack.enter_async_context(running_gateway(_settings(settings, tmp_path, keys)))
        channel = await stack.enter_async_context(Place(addresses).channel(Shown()))
        ended = asyncio.Event()

        async def ask(token: str) -> str:
            return await unary(channel, "GetUserFeatures", Shown(f"Bearer {token}"))

        async def call_on(caller: int) -> None:
            while not ended.is_set():
                issuer = using[caller] = signs[0]
                token = issuer.token(f"caller-{caller}")
                for _ in range(3):
                    codes.add(await ask(token))
                answered[caller] = issuer

        old_token = signs[0].token()
        await becomes("OK", partial(ask, old_token))
        callers = [asyncio.create_task(call_on(number)) for number in range(8)]
        for number in range(1, 4):
            old, new = signs[0], Issuer(f"key-{number}")
            clock[0] += 60
            keys.has(old, new)
            keys.answers.clear()
            signs[0] = new
            # Until all have a token with the new key, which is being fetched, those with the old one are answered.
            while set(using.values()) != {new}:
                codes.add(await ask(old_token))
            codes.add(await ask(old_token))
            keys.answers.set()
            while set(answered.values()) != {new}:
                codes.add(await ask(old_token))
            keys.has(new)
            clock[0] += 60
            # Any unknown key has them fetched.
            assert await ask(Issuer("x").token()) == "UNAUTHENTICATED"
            assert await ask(old_token) == "UNAUTHENTICATED"
            old_token = new.token()
        ended.set()
        await asyncio.gather(*callers)
    assert codes == {"OK"}


async def test_keys_that_hang_hold_up_neither_the_start_nor_calls(
    settings: Settings, keys: _Keys, tmp_path: Path
) -> None:
    keys.answers.clear()
    shown = Shown(f"Bearer {Issuer().token()}")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(TIMEOUT_S))
        addresses = await stack.enter_async_context(running_gateway(_settings(settings, tmp_path, keys)))
        channel = await stack.enter_async_context(Place(addresses).channel(shown))
        assert await unary(channel, "GetUserFeatures", shown) == "UNAVAILABLE"
        assert await unary(channel, "GetUserFeatures", Shown("Bearer x")) == "UNAUTHENTICATED"
        assert await Place(addresses).http_status("/features/3413-BMNZE", shown) == 503


async def test_callers_cannot_have_keys_fetched_often(keys: _Keys) -> None:
    keys.has(Issuer())
    async with _kept(keys, least_between_s=3600.0) as (url, _):
        for _ in range(100):
            await url.refreshed()
        assert keys.fetched == 1


@pytest.mark.parametrize("case", ["not JSON", "no keys", "an error", "too large", "a redirect"])
async def test_an_answer_without_keys_leaves_those_of_before(keys: _Keys, case: str) -> None:
    issuer = Issuer()
    keys.has(issuer)
    async with _kept(keys) as (url, changes):
        sound = keys.body
        changed: dict[str, dict[str, Any]] = {
            "not JSON": {"body": b"<html>"},
            "no keys": {"body": b'{"keys": []}'},
            "an error": {"status": 500},
            "too large": {"body": sound + b" " * 2**20},
            "a redirect": {"status": 302, "location": keys.url},
        }
        for name, value in changed[case].items():
            setattr(keys, name, value)
        await _fetched_again(keys, url)
        while not url.refused:
            await url.refreshed()
        assert url.current is not None
        assert url.current.find(issuer.kid, "ES256") is not None
        keys.body, keys.status, keys.location = sound, 200, ""
        while url.refused:
            await url.refreshed()
        # The same keys again are no change.
        assert len(changes) == 1


async def test_keys_that_could_not_be_fetched_for_long_are_dropped(keys: _Keys) -> None:
    clock = [0.0]
    keys.has(Issuer())
    async with _kept(keys, max_age_s=60.0, now_s=lambda: clock[0]) as (url, changes):
        keys.status = 500
        clock[0] = 60.0
        await _fetched_again(keys, url)
        assert url.current is not None
        clock[0] = 61.0
        assert url.current is None
        await _fetched_again(keys, url)
        keys.status = 200
        while url.current is None:
            clock[0] += 1
            await url.refreshed()
        # Credentials that were checked with them are checked again, when they are dropped and when they are back.
        assert len(changes) >= 2
