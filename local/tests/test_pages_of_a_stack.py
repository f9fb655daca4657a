"""Who has run `make up` opens the page that it prints, and sees why a value is missing."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from browsing import BOUND_MS, DESK, PHONE, visiting
from grpcurl import grpcurl
from page_reader import read
from playwright.async_api import Browser
from stack_under_test import CANARY, Stack
from streamflow_features import AsyncFeatureClient
from streamflow_local.chromium import Chromium

pytestmark = pytest.mark.slow

_NOBODY = "0000-AAAAA"
_PICTURES = os.environ.get("PICTURES")
"""The folder of the pictures of the READMEs, to make them again."""

_CALLS_FOR_A_PICTURE_S = 25


@pytest.fixture
async def browser(chromium: Chromium) -> AsyncIterator[Browser]:
    async with chromium.running() as running:
        yield running


def _printed(stack: Stack) -> str:
    """The address of the pages that `make up` prints."""
    result = stack.local("up")
    assert result.returncode == 0, result.stdout + result.stderr
    found = re.search(r"^pages +(\S+)$", result.stdout, re.MULTILINE)
    assert found is not None, result.stdout
    return found[1]


async def test_a_new_user_looks_a_user_up_and_reads_why_a_value_is_not_found(
    own_servers_stack: Stack, browser: Browser
) -> None:
    async with visiting(browser) as visit:
        page = visit.page
        await visit.to(await asyncio.to_thread(_printed, own_servers_stack))
        assert await page.locator("h1").inner_text() == "Look up"
        await page.get_by_label("user_id").first.fill(_NOBODY)
        await page.get_by_role("button", name="Look up").click()
        why = await page.get_by_role("region", name=re.compile("The online store has nothing of")).inner_text()
        assert f"The online store has nothing of user_id {_NOBODY}" in why
        assert "its rows have not been materialized to the online store since" in why
        row = page.get_by_role("row", name=re.compile("^monthly_fee"))
        assert f"subs_profile_fv has no row of user_id {_NOBODY} in the online store." in await row.inner_text()
        await page.get_by_label("user_id").first.fill(CANARY)
        await page.keyboard.press("Enter")
        await page.wait_for_selector(f"#answer >> text={CANARY}")
        row = page.get_by_role("row", name=re.compile("^monthly_fee"))
        assert await row.locator(".status").inner_text() == "Present"
        assert "Monthly fee in dollars." in await row.inner_text()
        assert await page.locator("section.alert").count() == 0


async def test_features_that_need_request_data_are_looked_up_and_their_commands_make_the_call(
    own_servers_stack: Stack, browser: Browser
) -> None:
    async with visiting(browser) as visit:
        page = visit.page
        await visit.to(await asyncio.to_thread(_printed, own_servers_stack))
        await page.get_by_label("Features", exact=True).select_option("session_v1")
        await page.get_by_label("user_id").first.fill(CANARY)
        await page.keyboard.press("Enter")
        # The form did not have its field; now it has.
        field = page.get_by_label("session_mins")
        assert "these features need more than was given" in await page.locator("[role=alert]").inner_text()
        await field.fill("42.5")
        await page.keyboard.press("Enter")
        row = page.get_by_role("row", name=re.compile("^session_over_avg_7d"))
        shown = await row.locator("td.value").inner_text()
        commands = [pre.text for pre in read(await page.content()).all("pre")]
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", commands[0])]
        assert words[0] == "grpcurl"
    target = own_servers_stack.gateway
    assert words[-2] == target
    reply = await asyncio.to_thread(grpcurl, [*words[1:-2], "127.0.0.1:50051", words[-1]], target)
    (value,) = [one["doubleValue"] for one in reply["userFeatures"]["features"] if one["name"] == "session_over_avg_7d"]
    assert shown == str(value)


async def _calls(stack: Stack, seconds: float) -> None:
    """Callers for some seconds, a few of whose calls fail."""
    ends = asyncio.get_running_loop().time() + seconds

    async def caller(client: AsyncFeatureClient, services: list[str]) -> None:
        while asyncio.get_running_loop().time() < ends:
            for service in services:
                call = client.get_user_features(CANARY, feature_service=service, timeout_s=5)
                await asyncio.gather(call, return_exceptions=True)

    async with AsyncFeatureClient(stack.gateway) as client:
        await asyncio.gather(*(caller(client, ["churn_v1"] * 40 + ["churn_v9"]) for _ in range(4)))


async def test_pictures_of_the_pages_are_made(own_servers_stack: Stack, browser: Browser, tmp_path: Path) -> None:
    folder = Path(_PICTURES) if _PICTURES else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    address = await asyncio.to_thread(_printed, own_servers_stack)
    seconds = _CALLS_FOR_A_PICTURE_S if _PICTURES else 1
    calling = asyncio.create_task(_calls(own_servers_stack, seconds))
    pictures: dict[str, tuple[str, dict[str, Any]]] = {
        "look-up": ("look-up?features=service:engagement_v1&key.user_id=" + CANARY, {"viewport": DESK}),
        "not-found": ("look-up?features=service:engagement_v1&key.user_id=" + _NOBODY, {"viewport": DESK}),
        "features": ("features", {"viewport": DESK, "color_scheme": "dark"}),
        "phone": ("look-up?features=service:engagement_v1&key.user_id=" + CANARY, {"viewport": PHONE}),
    }
    for name, (path, options) in pictures.items():
        async with visiting(browser, **options) as visit:
            await visit.to(f"{address}/{path}")
            if name == "phone":
                await visit.page.evaluate("document.getElementById('answer').scrollIntoView()")
            await visit.page.screenshot(path=folder / f"{name}.png")
    async with visiting(browser, viewport={**DESK, "height": 1000}) as visit:
        await visit.to(f"{address}/now")
        await visit.page.wait_for_selector("text=FEATURE_SERVICE_UNKNOWN", timeout=BOUND_MS)
        if _PICTURES:
            await asyncio.wait([calling], timeout=seconds - 2)
        await visit.page.screenshot(path=folder / "now.png")
    await calling
    for name in (*pictures, "now"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_a_training_sets_report_is_read_by_anyone_without_another_host(
    own_servers_stack: Stack, browser: Browser, tmp_path: Path, color_scheme: str
) -> None:
    report = tmp_path / "report.html"
    build = ("training-set", "--out", str(tmp_path / "set"), "--html", str(report))
    await asyncio.to_thread(own_servers_stack.offline, *build)
    async with visiting(browser, color_scheme=color_scheme) as visit:
        await visit.to(report.as_uri())
        assert await visit.findings() == []
        assert await visit.page.locator("img").count() > 0
        broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
        assert await visit.page.evaluate(broken) == 0
        if _PICTURES and color_scheme == "light":
            await visit.page.evaluate("document.querySelectorAll('h2')[1].scrollIntoView()")
            await visit.page.screenshot(path=Path(_PICTURES) / "training-set.png")
        await visit.page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        assert await visit.too_wide() <= 0


async def test_with_tls_and_a_token_the_same_page_is_seen_by_who_has_the_token(
    secure_stack: Stack, browser: Browser
) -> None:
    result = await asyncio.to_thread(secure_stack.local, "up", "--secure")
    found = re.search(r"^pages +(https://\S+)$", result.stdout, re.MULTILINE)
    assert found is not None, result.stdout
    async with visiting(browser, ignore_https_errors=True) as visit:
        page = visit.page
        await visit.to(found[1])
        await page.get_by_label("Token").fill(secure_stack.layout.token.read_text().strip())
        await page.keyboard.press("Enter")
        await page.get_by_label("user_id").first.fill(CANARY)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#answer")
        assert await page.locator("tbody tr").count() == 14
        command = await page.locator("pre").first.inner_text()
        assert command.startswith('grpcurl -cacert "$STREAMFLOW_FEATURES_CA_FILE" -H ')
        visit.faults = [fault for fault in visit.faults if "401" not in fault]
