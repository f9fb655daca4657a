"""The page *Features* says what there is, who owns it, how old it is, and what depends on what."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from any_entity import any_entity_content
from feature_gateway.access.caller import ANYONE
from feature_gateway.contract.model import Contract
from feature_gateway.pages.catalogue import catalogue_of
from feature_gateway.pages.picture import MAX_NODES, Picture, picture_of
from feature_gateway.settings import Settings
from gateway_fakes import (
    FakeFeatureServer,
    Gateway,
    contract_content,
    gateway_settings,
    loaded_contract,
    serving,
    written_contract,
)
from on_demand import on_demand_content
from page_reader import Element, Page, page_of

_PATH = "/pages/features"
_NOTES = {
    "entities": {"user": "Who watches."},
    "feature_services": {"churn_v1": "For the churn model."},
    "feature_views": {"usage_fv": "What is watched."},
    "features": {"usage_fv:watch_hours": "Hours watched."},
    "owners": {"feature_view usage_fv": "team-use"},
    "tags": {"feature_view usage_fv": {"stage": "live"}, "feature usage_fv:watch_hours": {"unit": "h"}},
}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, contract_path=written_contract(tmp_path, contract_content() | {"descriptions": _NOTES}))


def _facts(article: Element) -> dict[str, str]:
    return {one.one("dt").words: one.one("dd").words for one in article.one("dl").all("div")}


def _articles(page: Page) -> list[str]:
    return [article.one("h3").words for article in page.main.all("article")]


async def test_each_definition_has_its_type_owner_tags_keys_and_maximum_age(gateway: Gateway) -> None:
    page = await page_of(gateway, _PATH)
    assert page.status == 200
    assert _articles(page) == ["churn_v1", "scores_v1", "profile_fv", "usage_fv", "user"]
    usage = page.main.one("article", id="feature-view-usage_fv")
    assert "What is watched." in usage.words
    assert _facts(usage) == {
        "Owner": "team-use",
        "Tags": "stage=live",
        "Join key": "user_id String",
        "Maximum age": "1 day",
        "Newest row served": "none since the gateway's start",
        "Stands on": "user",
    }
    assert usage.one("table").rows == [
        ["Feature", "Type", "Description"],
        ["watch_hours", "Float64", "Hours watched. unit=h"],
        ["score", "Float64", ""],
    ]
    churn = page.main.one("article", id="feature-service-churn_v1")
    assert _facts(churn) == {"Join key": "user_id String", "Stands on": "profile_fv"}
    assert churn.one("table").rows[1] == ["months_active", "Int64", "profile_fv", ""]
    assert "Who watches." in page.main.one("article", id="entity-user").words


async def test_a_view_is_as_old_as_the_newest_row_that_was_answered(gateway: Gateway) -> None:
    asked = {"features": "service:churn_v1", "key.user_id": "3413-BMNZE"}
    assert (await page_of(gateway, "/pages/look-up", asked)).status == 200
    page = await page_of(gateway, _PATH)
    newest = {
        name: _facts(page.main.one("article", id=f"feature-view-{name}"))["Newest row served"]
        for name in ("profile_fv", "usage_fv")
    }
    assert newest["profile_fv"].startswith("2024-02-29 00:00:00, ")
    assert newest["profile_fv"].endswith(" days ago")
    assert newest["usage_fv"] == "none since the gateway's start"


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("churn", ["churn_v1"]),
        ("TEAM-USE", ["usage_fv"]),
        ("hours watched", ["usage_fv"]),
        ("scores feature", ["scores_v1"]),
        ("who", ["user"]),
        ("nothing of this", []),
        ("  ", ["churn_v1", "scores_v1", "profile_fv", "usage_fv", "user"]),
    ],
)
async def test_a_search_finds_words_in_names_descriptions_owners_and_tags(
    gateway: Gateway, search: str, found: list[str]
) -> None:
    page = await page_of(gateway, _PATH, {"search": search})
    assert _articles(page) == found
    assert f"{len(found)} of 5 definitions" in page.main.one("p", role="status").words


async def test_every_link_of_a_page_leads_somewhere(gateway: Gateway) -> None:
    page = await page_of(gateway, _PATH)
    identifiers = {element.attributes["id"] for element in page.root.all() if "id" in element.attributes}
    links = {str(link.attributes["href"]) for link in page.root.all("a")}
    assert {link[1:] for link in links if link.startswith("#")} <= identifiers
    for link in links:
        if not link.startswith("#"):
            assert (await page_of(gateway, f"/pages/{link}")).status == 200, link


async def test_what_the_contract_leaves_out_is_told_with_the_reason(
    feature_server: FakeFeatureServer, tmp_path: Path
) -> None:
    path = written_contract(tmp_path, any_entity_content())
    settings = replace(gateway_settings(feature_server, path), pages=True, default_feature_service="")
    async with serving(settings) as gateway:
        page = await page_of(gateway, _PATH)
    section = page.main.one("section", aria_labelledby="left-out")
    assert "feature service odd_v1: its view odd_fv has a Map; leave it away." in section.words


def _picture(contract: Contract) -> Picture | None:
    return picture_of(catalogue_of(contract, ANYONE))


def test_the_picture_has_a_box_for_each_definition_and_a_line_for_each_dependency(tmp_path: Path) -> None:
    picture = _picture(loaded_contract(tmp_path, on_demand_content()))
    assert picture is not None
    columns: dict[float, set[str]] = {}
    for node in picture.nodes:
        columns.setdefault(node.x, set()).add(node.name)
    assert [columns[x] for x in sorted(columns)] == [
        {"driver", "place", "shop"},
        {"driver_fv", "place_fv", "trip_fv"},
        {"alone", "pace", "plain", "share"},
        {"driver_v1", "stops_v1", "trips_v1"},
    ]
    # Of the views 1 + 1 + 2 entities, of three on-demand views one view, of the services 1 + 1 + 2 views.
    assert len(picture.lines) == 4 + 3 + 4
    corners = [(node.x, node.y) for node in picture.nodes]
    assert len({*corners}) == len(corners)
    assert all(0 <= x <= picture.width and 0 <= y <= picture.height for x, y in corners)


def test_a_picture_of_more_than_can_be_seen_is_not_drawn(tmp_path: Path) -> None:
    def content(views: int) -> dict[str, Any]:
        (view, *_) = contract_content()["feature_views"]
        some = [{**view, "name": f"view_{number}"} for number in range(views)]
        return contract_content() | {"feature_views": some, "feature_services": []}

    assert _picture(loaded_contract(tmp_path, content(MAX_NODES))) is None
    assert _picture(loaded_contract(tmp_path, content(MAX_NODES - 1))) is not None
