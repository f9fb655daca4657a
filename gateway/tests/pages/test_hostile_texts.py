"""Whatever definitions and stores hold is shown as text."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, serving
from hostile import HIDDEN, HOSTILE, LONG, QUOTES, SCRIPT, TURNED
from hostile_gateway import hostile_names, hostile_settings
from page_reader import Page, page_of

_PATH = "/pages/look-up"
_NAMES = hostile_names()


@pytest.fixture
async def gateway(settings: Settings, feature_server: FakeFeatureServer, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving(hostile_settings(settings, feature_server, tmp_path)) as running:
        yield running


def _check(page: Page) -> None:
    """The page has the gateway's own elements alone, and no character that hides or turns others."""
    assert {script.attributes.get("src") for script in page.root.all("script")} == {"static/pages.js"}
    assert not page.root.all("img")
    for element in page.root.all():
        assert not any(name.startswith("on") for name in element.attributes)
    assert str(7919 * 7927) not in page.root.text
    for mark in "\u202e\u2066\u200f\u200b\x00":
        assert mark not in page.main.text


_SHOWN = {
    SCRIPT: SCRIPT,
    QUOTES: QUOTES,
    TURNED: r"user\u202egnp.exe\u2066\u200f",
    HIDDEN: r"a\x00b\u200bc",
    LONG: "100,000 characters",
}


@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=["script", "quotes", "turned", "hidden", "long"])
async def test_a_value_and_the_names_around_it_are_shown_as_text(gateway: Gateway, number: int) -> None:
    name = _NAMES[number]
    # No address is as long as a name may be; the default of this contract then is what is looked up.
    asked = {"features": f"service:{name}", f"key.{name}": name} if len(name) < 1000 else {}
    page = await page_of(gateway, _PATH, asked)
    assert page.status == 200
    _check(page)
    if asked:
        row = page.main.one("table").all("tr")[1]
        assert row.one("td", class_="value").text.strip() == _SHOWN[HOSTILE[number]]
        assert _SHOWN[HOSTILE[number]] in row.one("th").text


async def test_a_long_value_shows_its_start_and_opens_to_the_whole(gateway: Gateway) -> None:
    name = _NAMES[0]
    page = await page_of(gateway, _PATH, {"features": f"service:{name}", f"key.{name}": "long"})
    value = page.main.one("table").one("td", class_="value")
    assert value.one("summary").words == "x" * 160 + "… 100,000 characters"
    assert value.one("bdi", class_="whole").text == LONG


async def test_all_definitions_are_shown_as_text_and_found_by_their_names(gateway: Gateway) -> None:
    page = await page_of(gateway, "/pages/features")
    assert page.status == 200
    _check(page)
    # A service, a view and an entity of each name.
    assert len(page.main.all("article")) == 3 * len(_NAMES)
    identifiers = [str(element.attributes["id"]) for element in page.root.all() if "id" in element.attributes]
    assert len({*identifiers}) == len(identifiers)
    page = await page_of(gateway, "/pages/features", {"search": QUOTES})
    _check(page)
    assert page.main.one("input", name="search").attributes["value"] == QUOTES
    assert [article.one("h3").text for article in page.main.all("article")] == [_NAMES[1]] * 3
