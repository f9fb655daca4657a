"""The page *Look up* says what each value is, and why there is none."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession, web
from feature_gateway.settings import Settings
from gateway_fakes import NEVER_WRITTEN, VALUES, FakeFeatureServer, Gateway, feast_answer, serving
from metric_samples import calls_by_code, errors_by_reason, samples_of
from page_reader import page_of

_USER, _OTHER = "3413-BMNZE", "0000-AAAAA"
_PATH = "/pages/look-up"
_METHOD = "http:/pages/look-up"


def _by_user(answers: dict[str, dict[str, Any]]) -> Any:
    """Answers each user as `feast_answer` does with some keywords."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        (user,) = body["entities"]["user_id"]
        return web.json_response(feast_answer(body, **answers[user]))

    return answer


_NOTHING = {"values": dict.fromkeys(VALUES), "stamp": NEVER_WRITTEN}


async def test_the_pages_are_off_unless_a_setting_says_otherwise(settings: Settings) -> None:
    async with serving(replace(settings, pages=False)) as gateway, ClientSession() as session:
        for path in ("/pages", _PATH, "/pages/static/pages.css"):
            async with session.get(gateway.http_url + path) as response:
                assert response.status == 404
        assert not any(method == _METHOD for method, _ in calls_by_code(await samples_of(gateway)))


async def test_the_first_page_is_a_form_and_reads_nothing(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    page = await page_of(gateway, "/pages")
    assert page.status == 200
    options = {option.words: "selected" in option.attributes for option in page.main.all("option")}
    assert options == {"churn_v1": True, "scores_v1": False, "profile_fv": False, "usage_fv": False}
    assert page.main.one("input", name="key.user_id").attributes["value"] == ""
    assert not page.main.all("table")
    assert feature_server.requests == []


async def test_each_feature_has_its_value_its_status_in_words_its_time_and_its_view(gateway: Gateway) -> None:
    page = await page_of(gateway, _PATH, {"features": "service:churn_v1", "key.user_id": _USER})
    assert page.status == 200
    header, *rows = page.main.one("table").rows
    assert header == ["Feature", "Value", "Status", "Event time, UTC", "Feature view"]
    days = (datetime.now(UTC) - datetime(2024, 2, 29, tzinfo=UTC)).days
    stamp = f"2024-02-29 00:00:00 {days:,} days ago"
    assert rows == [
        ["months_active Int64", "1", "Present", stamp, "profile_fv"],
        ["monthly_fee Float64", "29.85", "Present", stamp, "profile_fv"],
        [
            "plan_stream_tv Bool",
            "no value",
            f"Null profile_fv has a row of user_id {_USER}, and the row holds no value of this feature.",
            stamp,
            "profile_fv",
        ],
        ["net_service String", "DSL", "Present", stamp, "profile_fv"],
    ]


async def test_a_key_that_no_view_has_is_explained(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    feature_server.answer = _by_user({_OTHER: _NOTHING})
    page = await page_of(gateway, _PATH, {"key.user_id": _OTHER})
    assert page.status == 200
    why = page.main.one("section", class_="alert").words
    assert f"The online store has nothing of user_id {_OTHER}" in why
    assert "its rows have not been materialized to the online store since" in why
    statuses = {row[2] for row in page.main.one("table").rows[1:]}
    assert statuses == {f"Not found profile_fv has no row of user_id {_OTHER} in the online store."}


async def test_a_view_without_a_row_is_named_beside_one_that_has_it(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    async def answer(request: web.Request) -> web.Response:
        answered = feast_answer(await request.json())
        at = answered["metadata"]["feature_names"].index("usage_fv__score")
        answered["results"][at] |= {"values": [None], "event_timestamps": [NEVER_WRITTEN]}
        return web.json_response(answered)

    feature_server.answer = answer
    page = await page_of(gateway, _PATH, {"features": "service:scores_v1", "key.user_id": _USER})
    assert f"user_id {_USER} has no row in usage_fv, so" in page.main.one("section", class_="alert").words
    assert [row[2].split(" usage")[0] for row in page.main.one("table").rows[1:]] == ["Present", "Not found"]


async def test_a_value_that_is_too_old_is_shown_with_the_age_that_is_allowed(gateway: Gateway) -> None:
    page = await page_of(gateway, _PATH, {"features": "view:usage_fv", "key.user_id": _USER})
    row = page.main.one("table").rows[1]
    assert row[:2] == ["watch_hours Float64", "24.725258074861507"]
    assert row[2].startswith("Too old The row is ")
    assert row[2].endswith("days old, and the maximum age of usage_fv is 1 day.")


async def test_two_keys_are_compared_feature_by_feature(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    changed = {"values": VALUES | {"profile_fv__net_service": "No"}}
    feature_server.answer = _by_user({_USER: {}, _OTHER: changed})
    page = await page_of(gateway, _PATH, {"key.user_id": _USER, "other.user_id": _OTHER})
    rows = page.main.one("table").rows[2:]
    assert [(row[0].split()[0], row[1], row[3], row[6]) for row in rows] == [
        ("months_active", "same", "1", "1"),
        ("monthly_fee", "same", "29.85", "29.85"),
        ("plan_stream_tv", "same", "no value", "no value"),
        ("net_service", "differs", "DSL", "No"),
    ]


@pytest.mark.parametrize(("key", "other"), [("nobody", ""), (_USER, "nobody"), ("", _USER), ("\ud800", "")])
async def test_a_key_of_another_form_is_refused_at_its_field(
    gateway: Gateway, feature_server: FakeFeatureServer, key: str, other: str
) -> None:
    page = await page_of(gateway, _PATH, {"key.user_id": key, "other.user_id": other})
    assert page.status == 400
    invalid = page.main.one("input", aria_invalid="true")
    at_fault = "other" if key == _USER else "key"
    assert invalid.attributes["name"] == f"{at_fault}.user_id"
    hint = page.main.one("div", id=str(invalid.attributes["aria-describedby"]))
    assert hint.words.startswith("It takes String, a text")
    assert "Not looked up" in page.main.one("div", role="alert").words
    assert not page.main.all("table")
    assert len(feature_server.requests) == (1 if key == _USER else 0)


async def test_a_failed_read_is_told_with_its_reason_and_the_form_stays(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    async def down(_: web.Request) -> web.Response:
        return web.json_response("Error 111 connecting to 127.0.0.1:6380. Connection refused.", status=500)

    feature_server.answer = down
    page = await page_of(gateway, _PATH, {"key.user_id": _USER})
    assert page.status == 503
    assert "UNAVAILABLE" in page.main.one("div", role="alert").words
    assert page.main.one("input", name="key.user_id").attributes["value"] == _USER


@pytest.mark.parametrize("features", ["service:nope_v1", "view:nope_fv", "nope", ":"])
async def test_features_that_do_not_exist_are_told_on_a_page(gateway: Gateway, features: str) -> None:
    page = await page_of(gateway, _PATH, {"features": features, "key.user_id": _USER})
    assert page.status == (404 if "nope_" in features else 400)
    assert page.main.one("div", role="alert").words


async def test_request_data_have_fields_and_their_values_are_sent(
    drivers: Gateway, feature_server: FakeFeatureServer
) -> None:
    # As from the form of other features, which had no field for them.
    page = await page_of(drivers, _PATH, {"features": "service:pace_v1", "key.driver_id": "7"})
    assert page.status == 200
    assert "these features need more than was given" in page.main.one("div", role="alert").words
    field = page.main.one("input", name="data.minutes")
    assert page.main.one("label", for_=str(field.attributes["id"])).words == "minutes Float64"
    asked = {"features": "service:pace_v1", "key.driver_id": "7", "data.minutes": "2.5"}
    page = await page_of(drivers, _PATH, asked)
    assert page.main.one("table").rows[1][:3] == ["pace_out Float64", "7002.5", "Present"]
    feature_server.requests.clear()
    page = await page_of(drivers, _PATH, asked | {"data.minutes": "soon"})
    assert page.status == 400
    assert page.main.one("input", aria_invalid="true").attributes["name"] == "data.minutes"
    assert page.main.one("input", name="data.minutes").attributes["value"] == "soon"


async def test_a_row_of_the_page_is_counted_as_a_call(gateway: Gateway) -> None:
    await page_of(gateway, _PATH)
    await page_of(gateway, _PATH, {"key.user_id": _USER, "other.user_id": _OTHER})
    await page_of(gateway, _PATH, {"key.user_id": "nobody"})
    samples = await samples_of(gateway)
    assert calls_by_code(samples) == {(_METHOD, "OK"): 2, (_METHOD, "INVALID_ARGUMENT"): 1}
    assert errors_by_reason(samples) == {(_METHOD, "ENTITY_KEY_INVALID"): 1}
