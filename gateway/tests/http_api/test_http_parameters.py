"""What a caller may ask over HTTP, and what is said of parameters that can't be used."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from gateway_fakes import FakeFeatureServer, Gateway

_USER = "3413-BMNZE"
_DAY_S = 86_400
# The fake's rows are of February 2024.
_CENTURY_S = 100 * 366 * _DAY_S
_ONCE = (
    *("feature_service", "max_age_s", "staleness_policy"),
    *("contract_hash", "include_serving_info", "timeout_s"),
)


async def _get(gateway: Gateway, *parameters: tuple[str, str]) -> tuple[int, dict[str, Any], Any]:
    """The status, the body and the headers of a reply."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.http_url}/features/{_USER}", params=parameters) as response,
    ):
        return response.status, await response.json(content_type=None), response.headers


async def test_a_maximum_age_of_the_requests_own_flags_what_is_older(gateway: Gateway) -> None:
    for text, status in (
        (str(_DAY_S), "OUTSIDE_MAX_AGE"),
        ("0", "OUTSIDE_MAX_AGE"),
        ("0.5", "OUTSIDE_MAX_AGE"),
        ("1e3", "OUTSIDE_MAX_AGE"),
        (str(_CENTURY_S), "PRESENT"),
    ):
        code, body, _ = await _get(gateway, ("max_age_s", text))
        assert code == 200
        assert body["statuses"]["months_active"] == status, text
        assert body["features"]["months_active"] == 1


@pytest.mark.parametrize(("policy", "value"), [("flag", 1), ("FLAG", 1), ("omit", None), ("Omit", None)])
async def test_the_staleness_policy_says_whether_an_old_value_is_kept(
    gateway: Gateway, policy: str, value: int | None
) -> None:
    code, body, _ = await _get(gateway, ("max_age_s", str(_DAY_S)), ("staleness_policy", policy))
    assert code == 200
    assert body["features"]["months_active"] == value
    assert body["statuses"]["months_active"] == "OUTSIDE_MAX_AGE"
    assert body["event_timestamps"]["months_active"] == "2024-02-29T00:00:00Z"


async def test_the_policy_fail_names_the_old_features_and_their_ages(gateway: Gateway) -> None:
    code, body, _ = await _get(gateway, ("max_age_s", str(_DAY_S)), ("staleness_policy", "fail"))
    assert code == 412
    assert (body["code"], body["reason"]) == ("FAILED_PRECONDITION", "ERROR_REASON_FEATURES_TOO_OLD")
    assert float(body["metadata"]["months_active"]) > _DAY_S


async def test_a_request_for_another_contract_is_a_failed_precondition(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    code, body, _ = await _get(gateway, ("contract_hash", "sha256:00"))
    assert code == 412
    assert body["reason"] == "ERROR_REASON_CONTRACT_MISMATCH"
    assert body["metadata"]["requested_hash"] == "sha256:00"
    assert feature_server.requests == []
    current = body["metadata"]["contract_hash"]
    code, body, _ = await _get(gateway, ("contract_hash", current))
    assert (code, body["contract_hash"]) == (200, current)


async def test_serving_info_is_in_the_reply_of_those_who_ask(gateway: Gateway) -> None:
    for parameters in ((), (("include_serving_info", "false"),)):
        _, body, _ = await _get(gateway, *parameters)
        assert "serving_info" not in body
    code, body, _ = await _get(gateway, ("include_serving_info", "true"))
    assert code == 200
    info = body["serving_info"]
    assert list(info) == ["gateway_time_s", "queue_time_s", "upstream_time_s", "batch_size", "retried", "hedged"]
    assert 0 < info["upstream_time_s"] <= info["gateway_time_s"] < 10
    assert info["queue_time_s"] >= 0
    assert (info["batch_size"], info["retried"], info["hedged"]) == (1, False, False)


async def test_a_request_that_is_not_answered_in_its_own_time_is_a_gateway_timeout(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    feature_server.answer = never
    loop = asyncio.get_running_loop()
    started = loop.time()
    code, body, _ = await _get(gateway, ("timeout_s", "0.05"))
    assert (code, body["reason"]) == (504, "ERROR_REASON_DEADLINE_EXCEEDED")
    # The gateway's default is a second.
    assert loop.time() - started < 0.9


async def test_a_request_may_take_longer_than_the_default(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    code, _, _ = await _get(gateway, ("timeout_s", "315576000000"))
    assert code == 200
    assert len(feature_server.requests) == 1


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        *(
            ("max_age_s", text, "MAX_AGE_INVALID")
            for text in ("-1", "", "a day", "nan", "inf", "1_000", " 1", "٣", "1e999", "315576000001", "9" * 500)
        ),
        *(
            ("timeout_s", text, "TIMEOUT_INVALID")
            for text in ("0", "0.0", "-1", "", "soon", "nan", "Infinity", "1e-999", "315576000001")
        ),
        *(("staleness_policy", text, "STALENESS_POLICY_UNKNOWN") for text in ("", "keep", "1", "flag,omit")),
    ],
)
async def test_a_parameter_that_can_not_be_used_is_refused_with_its_reason(
    gateway: Gateway, feature_server: FakeFeatureServer, name: str, text: str, reason: str
) -> None:
    code, body, _ = await _get(gateway, (name, text))
    assert (code, body["code"], body["reason"]) == (400, "INVALID_ARGUMENT", f"ERROR_REASON_{reason}")
    assert body["detail"].startswith(f"{name} is '{text[:100]}")
    assert len(body["detail"]) < 250
    assert feature_server.requests == []


@pytest.mark.parametrize(
    ("parameters", "detail"),
    [
        ([("include_serving_info", "yes")], "include_serving_info is 'yes'; it takes true or false."),
        ([("include_serving_info", "")], "include_serving_info is ''; it takes true or false."),
        *(([(name, "1"), (name, "1")], f"{name} can be given only once.") for name in _ONCE),
        (
            [("max_age", "1"), ("Timeout_s", "1")],
            f"There is no parameter Timeout_s, max_age; there are feature, {', '.join(_ONCE)} and request_data.NAME.",
        ),
    ],
)
async def test_what_is_no_parameter_or_given_twice_is_refused(
    gateway: Gateway, feature_server: FakeFeatureServer, parameters: list[tuple[str, str]], detail: str
) -> None:
    code, body, headers = await _get(gateway, *parameters)
    assert (code, body["detail"]) == (400, detail)
    assert headers["Content-Type"] == "application/problem+json"
    assert feature_server.requests == []
