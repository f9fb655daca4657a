"""A web page gets no features: of a name that leads here, or of another origin, unless settings allow it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from aiohttp import ClientSession
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, serving

_APP = "https://app.example.com"
_CORS = "Access-Control-Allow-"


async def _answer(gateway: Gateway, headers: Mapping[str, str], method: str = "GET") -> tuple[int, dict[str, str]]:
    """The status, and the headers about origins."""
    async with (
        asyncio.timeout(20),
        ClientSession() as session,
        session.request(method, f"{gateway.http_url}/features/3413-BMNZE", headers=headers) as response,
    ):
        about = {name: value for name, value in response.headers.items() if name.startswith(_CORS) or name == "Vary"}
        return response.status, about


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("features.example.com", 200),
        ("Features.Example.COM:8000", 200),
        ("10.0.0.1:8000", 200),
        ("10.0.0.1", 421),
        ("10.0.0.1:8001", 421),
        ("[::1]:8000", 200),
        ("attacker.example", 421),
        ("features.example.com.attacker.example", 421),
        ("", 421),
    ],
)
async def test_only_hosts_of_the_list_are_answered(
    settings: Settings, feature_server: FakeFeatureServer, host: str, status: int
) -> None:
    settings = replace(settings, http_hosts=("features.example.com", "10.0.0.1:8000", "[::1]"))
    async with serving(settings) as gateway:
        assert await _answer(gateway, {"Host": host}) == (status, {})
    assert len(feature_server.requests) == (status == 200)


async def test_without_settings_every_host_is_answered_and_no_page_of_another_origin(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    assert await _answer(gateway, {"Host": "any.example"}) == (200, {})
    for origin in (_APP, "null", "http://127.0.0.1:1", "https://" + gateway.addresses.http):
        assert await _answer(gateway, {"Origin": origin}) == (403, {})
        preflight = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        assert await _answer(gateway, preflight, "OPTIONS") == (403, {})
    assert len(feature_server.requests) == 1
    assert await _answer(gateway, {"Origin": gateway.http_url}) == (200, {})


async def test_pages_of_an_origin_that_is_allowed_may_read_answers_and_errors(settings: Settings) -> None:
    allowed = {"Access-Control-Allow-Origin": _APP, "Vary": "Origin"}
    async with serving(replace(settings, http_origins=(_APP,))) as gateway:
        assert await _answer(gateway, {"Origin": _APP}) == (200, allowed)
        assert await _answer(gateway, {"Origin": _APP}, "POST") == (405, allowed)
        assert await _answer(gateway, {"Origin": "https://other.example.com"}) == (403, {})
        status, answered = await _answer(gateway, {"Origin": _APP, "Access-Control-Request-Method": "GET"}, "OPTIONS")
    assert status == 204
    assert answered == {**allowed, f"{_CORS}Methods": "GET", f"{_CORS}Headers": "Authorization"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_HTTP_HOSTS", "https://features.example.com"),
        ("GATEWAY_HTTP_HOSTS", "a,"),
        ("GATEWAY_HTTP_HOSTS", "a b"),
        ("GATEWAY_HTTP_ORIGINS", "*"),
        ("GATEWAY_HTTP_ORIGINS", "app.example.com"),
        ("GATEWAY_HTTP_ORIGINS", "https://app.example.com/"),
    ],
)
def test_what_is_no_host_or_origin_is_refused(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{variable} is .* it takes"):
        Settings.from_environment({variable: value})
