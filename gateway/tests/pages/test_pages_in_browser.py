"""Pages in a real Chromium: what hostile texts do, who may see them, and who can use them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from access_fakes import with_tokens
from browsing import BOUND_MS, PHONE, visiting
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, serving
from hostile import LONG, QUOTES, SCRIPT
from hostile_gateway import hostile_names, hostile_settings
from playwright.async_api import Browser
from streamflow_local.chromium import Chromium

pytestmark = pytest.mark.slow

_USER = "3413-BMNZE"
_ANSWERED = f"/pages/look-up?features=service:churn_v1&key.user_id={_USER}"
_STATES = {
    "form": "/pages/look-up",
    "answer": _ANSWERED,
    "comparison": f"{_ANSWERED}&other.user_id=0000-AAAAA",
    "bad key": "/pages/look-up?key.user_id=nobody",
    "unknown features": "/pages/look-up?features=service:nope",
    "features": "/pages/features",
    "search": "/pages/features?search=usage",
    "nothing found": "/pages/features?search=nothing+of+this",
    "now": "/pages/now",
}
_FAILED = {"bad key", "unknown features"}


@pytest.fixture
async def browser(chromium: Chromium) -> AsyncIterator[Browser]:
    async with chromium.running() as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["desk", "phone"])
async def test_every_page_can_be_used_by_keyboard_and_screen_reader_and_fits(
    gateway: Gateway, browser: Browser, scheme: str, width: str
) -> None:
    options = {"viewport": PHONE, "is_mobile": True} if width == "phone" else {}
    for state, path in _STATES.items():
        async with visiting(browser, color_scheme=scheme, **options) as visit:
            await visit.to(gateway.http_url + path)
            for details in await visit.page.query_selector_all("details"):
                await details.evaluate("one => { one.open = true }")
            assert await visit.findings() == [], state
            assert await visit.too_wide() <= 0, state
            ground = await visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(255, 255, 255)") is (scheme == "light")
            if state in _FAILED:
                # Chromium itself writes a failed answer on the console.
                visit.faults = [fault for fault in visit.faults if "Failed to load resource" not in fault]


async def test_a_look_up_is_made_without_a_mouse(gateway: Gateway, browser: Browser) -> None:
    async with visiting(browser) as visit:
        await visit.to(gateway.http_url + "/pages")
        keyboard = visit.page.keyboard
        reached: list[str] = []
        while not reached or reached[-1] != "key.user_id":
            await keyboard.press("Tab")
            reached.append(await visit.focused())
        assert reached == ["Skip to the content", "Look up", "Features", "Now", "features", "key.user_id"]
        await keyboard.type(_USER)
        await keyboard.press("Enter")
        await visit.page.wait_for_selector("#answer")
        assert await visit.page.locator("tbody tr").count() == 4


async def test_the_same_answer_comes_without_scripts(gateway: Gateway, browser: Browser) -> None:
    async with visiting(browser, java_script_enabled=False) as visit:
        await visit.to(gateway.http_url + "/pages")
        await visit.page.fill("[name='key.user_id']", _USER)
        await visit.page.click("main button[type=submit]")
        assert await visit.page.locator("tbody tr").count() == 4
        for name in ("Features", "Now"):
            await visit.page.click(f"nav >> text={name}")
            assert await visit.page.locator("h1").inner_text() == name
            assert not await visit.page.locator("button[data-pause]").is_visible()


async def test_a_command_is_copied_with_a_button(gateway: Gateway, browser: Browser) -> None:
    async with visiting(browser, permissions=["clipboard-read", "clipboard-write"]) as visit:
        await visit.to(gateway.http_url + _ANSWERED)
        await visit.page.click("text=Copy curl")
        await visit.page.wait_for_selector("text=Copied")
        assert await visit.page.evaluate("navigator.clipboard.readText()") == (
            f"curl -s '{gateway.http_url}/features/{_USER}?feature_service=churn_v1'"
        )


async def test_a_token_is_asked_for_kept_in_memory_and_gone_with_the_page(
    settings: Settings, tmp_path: Path, browser: Browser
) -> None:
    secured = with_tokens(settings, tmp_path, {"x": "secret-token"})
    async with serving(secured) as gateway, visiting(browser) as visit:
        page = visit.page
        await visit.to(gateway.http_url + "/pages/look-up")
        assert await page.locator("h1").inner_text() == "This gateway asks who you are"
        assert await visit.findings() == []
        await page.fill("#token", "wrong")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=The gateway does not take this token")
        await page.fill("#token", "secret-token")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("h1 >> text=Look up")
        await page.fill("[name='key.user_id']", _USER)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#answer")
        assert f"key.user_id={_USER}" in page.url
        await page.click("nav >> text=Features")
        await page.wait_for_selector("h1 >> text=Features")
        assert page.url.endswith("/pages/features")
        await page.go_back()
        await page.wait_for_selector("#answer")
        await page.click("nav >> text=Now")
        await page.wait_for_selector("#live")
        kept = await page.evaluate("JSON.stringify([location.href, document.cookie, localStorage, sessionStorage])")
        assert "secret-token" not in kept
        assert await page.context.cookies() == []
        await page.reload()
        assert await page.locator("h1").inner_text() == "This gateway asks who you are"
        visit.faults = [fault for fault in visit.faults if "401" not in fault]


async def test_the_lines_of_now_move_until_they_are_paused(gateway: Gateway, browser: Browser) -> None:
    async with visiting(browser) as visit:
        page = visit.page
        # The page's timers wait for the test.
        await page.clock.install()
        await visit.to(gateway.http_url + "/pages/now")
        first = await page.locator("figure .line-1").first.get_attribute("d")
        async with asyncio.timeout(BOUND_MS / 1000):
            while await page.locator("figure .line-1").first.get_attribute("d") == first:
                await page.clock.run_for(2_000)
        pause = page.locator("button[data-pause]")
        assert (await pause.inner_text(), await pause.get_attribute("aria-pressed")) == ("Pause", "false")
        await pause.click()
        assert (await pause.inner_text(), await pause.get_attribute("aria-pressed")) == ("Continue", "true")
        # A refresh that was under way when it was paused is over.
        await page.wait_for_load_state("networkidle")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.clock.run_for(60_000)
        assert asked == []
        await pause.click()
        async with page.expect_request("**/pages/now"):
            await page.clock.run_for(2_000)


async def test_hostile_texts_run_nothing_and_turn_nothing(
    settings: Settings, feature_server: FakeFeatureServer, tmp_path: Path, browser: Browser
) -> None:
    names = hostile_names()
    async with (
        serving(hostile_settings(settings, feature_server, tmp_path)) as gateway,
        visiting(browser, viewport=PHONE) as visit,
    ):
        page = visit.page
        asked: list[dict[str, str]] = [{"features": f"service:{name}", f"key.{name}": name} for name in names[:-1]]
        asked.append({"features": f"service:{names[0]}", f"key.{names[0]}": "long"})
        for parameters in asked:
            await visit.to(gateway.http_url + "/pages/look-up")
            address: Any = await page.evaluate("asked => '?' + new URLSearchParams(asked)", parameters)
            await visit.to(gateway.http_url + "/pages/look-up" + address)
            assert await page.locator("tbody tr").count() == 1
            assert await visit.too_wide() <= 0
            assert await visit.findings() == []
            assert await page.evaluate("window.hurt") is None
        await page.click(".value summary")
        assert len(await page.locator(".value .whole").inner_text()) == len(LONG)
        assert await visit.too_wide() <= 0
        await visit.to(gateway.http_url + "/pages/features")
        assert await page.locator("article").count() == 3 * len(names)
        assert await page.evaluate("window.hurt") is None
        assert await visit.too_wide() <= 0
        assert await visit.findings() == []
        headings = await page.locator("article h3").all_inner_texts()
        assert {SCRIPT, QUOTES} <= {*headings}
