"""A page shows what its caller may read, and no more. Its headers forbid scripts and requests of other origins."""

from dataclasses import replace
from pathlib import Path

import pytest
from access_fakes import ALL, with_policy, with_tokens
from aiohttp import ClientSession
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, serving
from page_reader import Page, page_of

_USER = "3413-BMNZE"
_PATH = "/pages/look-up"
_PAGES = (_PATH, "/pages/features", "/pages/now")
_NAMES = ("churn_v1", "scores_v1", "profile_fv", "usage_fv", "watch_hours")
_LIMITED = {"feature_services": ["scores_v1"], "feature_views": ["usage_fv"]}


def _names_in(page: Page) -> set[str]:
    return {name for name in _NAMES if name in page.root.text}


def _limited(settings: Settings, folder: Path, **rights: object) -> Settings:
    tokens = with_tokens(settings, folder, {"few": "few", "all": "all", "none": "none"})
    return with_policy(tokens, folder, {"token:few": {**_LIMITED, **rights}, "token:all": ALL})


@pytest.mark.parametrize("path", _PAGES)
async def test_without_its_token_a_page_is_a_form_for_the_token_and_names_nothing(
    settings: Settings, tmp_path: Path, path: str, feature_server: FakeFeatureServer
) -> None:
    async with serving(with_tokens(settings, tmp_path, {"x": "x"})) as gateway:
        for token in ("", "wrong"):
            page = await page_of(gateway, path, {"key.user_id": _USER}, token=token)
            assert page.status == 401
            assert page.headers["WWW-Authenticate"] == "Bearer"
            assert page.main.one("input").attributes["type"] == "password"
            # A field without a name is in no address, whatever becomes of the script.
            assert "name" not in page.main.one("input").attributes
            assert _names_in(page) == set()
        assert (await page_of(gateway, path, token="x")).status == 200
    assert feature_server.requests == []


async def test_a_caller_sees_and_looks_up_what_the_policy_allows(
    settings: Settings, tmp_path: Path, feature_server: FakeFeatureServer
) -> None:
    async with serving(_limited(settings, tmp_path)) as gateway:
        page = await page_of(gateway, _PATH, token="few")
        assert [option.words for option in page.main.all("option")] == ["scores_v1", "usage_fv"]
        for features in ("service:churn_v1", "view:profile_fv", "service:nope", "view:nope"):
            page = await page_of(gateway, _PATH, {"features": features, "key.user_id": _USER}, token="few")
            assert page.status == 403
            assert _names_in(page) == set()
        assert feature_server.requests == []
        page = await page_of(gateway, _PATH, {"features": "view:usage_fv", "key.user_id": _USER}, token="few")
        assert page.status == 200
        assert "profile_fv" not in _names_in(page)
        page = await page_of(gateway, "/pages/features", token="few")
        # Over gRPC too, a caller who may read a feature service sees its features.
        assert _names_in(page) == {"scores_v1", "usage_fv", "watch_hours", "profile_fv"}
        assert {article.one("h3").words for article in page.main.all("article")} == {"scores_v1", "usage_fv", "user"}
        # It is about all callers.
        assert (await page_of(gateway, "/pages/now", token="few")).status == 403
        assert (await page_of(gateway, "/pages/now", token="all")).status == 200
        for path in _PAGES:
            assert (await page_of(gateway, path, token="none")).status == 403


async def test_forms_and_rows_count_towards_the_rate_of_an_identity(settings: Settings, tmp_path: Path) -> None:
    async with serving(_limited(settings, tmp_path, calls_per_s=1e-6)) as gateway:
        assert (await page_of(gateway, _PATH, token="few")).status == 200
        refused = await page_of(gateway, _PATH, {"key.user_id": _USER}, token="few")
        assert refused.status == 429
        assert (await page_of(gateway, _PATH, {"features": "service:scores_v1"}, token="few")).status == 429
        assert (await page_of(gateway, "/pages/features", token="few")).status == 429


async def test_every_answer_forbids_what_pages_do_not_need(gateway: Gateway) -> None:
    answers = [
        await page_of(gateway, _PATH, {"key.user_id": _USER}),
        await page_of(gateway, _PATH, {"features": "nope"}),
        await page_of(gateway, "/pages/static/pages.css"),
        await page_of(gateway, "/pages/static/icon.svg"),
    ]
    for page in answers:
        policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
        assert policy.pop("default-src") == "'none'"
        assert {*policy.values()} == {"'self'", "'none'"}
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert {page.headers["Cache-Control"] for page in answers[:2]} == {"no-store"}


@pytest.mark.parametrize("path", _PAGES)
async def test_a_page_fetches_nothing_from_other_hosts_and_has_no_script_of_its_own(
    gateway: Gateway, path: str
) -> None:
    page = await page_of(gateway, path, {"key.user_id": _USER})
    for element in page.root.all():
        assert not any(name.startswith("on") or name == "style" for name in element.attributes)
        for name in ("src", "href", "action"):
            assert "//" not in (element.attributes.get(name) or "")
    assert [script.attributes["src"] for script in page.root.all("script")] == ["static/pages.js"]
    assert not page.root.all("style")


async def test_the_rules_of_the_port_hold_for_pages(settings: Settings) -> None:
    async with serving(replace(settings, http_hosts=("features.example.com",))) as gateway, ClientSession() as session:
        for headers, status in (
            ({"Host": "features.example.com"}, 200),
            ({"Host": "attacker.example"}, 421),
            ({"Host": "features.example.com", "Origin": "https://attacker.example"}, 403),
        ):
            async with session.get(gateway.http_url + _PATH, headers=headers) as response:
                assert response.status == status
