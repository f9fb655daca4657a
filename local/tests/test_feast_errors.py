"""The errors of live Feast, and the gateway's error for each; a change of Feast's texts fails here."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from feature_gateway.errors import GatewayError, RejectedUpstreamError, UpstreamUnavailableError
from feature_gateway.upstream.feast_errors import failure_of
from stack_under_test import CANARY, Stack
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_MISMATCH = (GatewayError, ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH)
_REJECTED = (RejectedUpstreamError, ErrorReason.ERROR_REASON_REJECTED_UPSTREAM)
_FEATURES = ["subs_profile_fv:months_active"]
_USERS = {"user_id": [CANARY]}


def _failed(stack: Stack, body: dict[str, Any]) -> tuple[int, bytes]:
    request = urllib.request.Request(  # http by construction
        f"http://127.0.0.1:{stack.config.feature_server_port}/get-online-features",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=10)  # noqa: S310  # http by construction
    with raised.value as answer:
        return answer.code, answer.read()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param({"features": ["nope_fv:x"], "entities": _USERS}, _MISMATCH, id="unknown view"),
        pytest.param({"features": ["subs_profile_fv:nope"], "entities": _USERS}, _MISMATCH, id="unknown feature"),
        pytest.param({"feature_service": "nope", "entities": _USERS}, _MISMATCH, id="unknown service"),
        pytest.param({"features": ["nope"], "entities": _USERS}, _MISMATCH, id="malformed reference"),
        pytest.param({"features": [], "entities": _USERS}, _MISMATCH, id="no features"),
        pytest.param({"features": 1, "entities": _USERS}, _MISMATCH, id="another schema"),
        pytest.param({"features": _FEATURES, "entities": {}}, _REJECTED, id="no join key"),
        pytest.param({"features": _FEATURES, "entities": {"device": ["1"]}}, _REJECTED, id="another join key"),
        pytest.param({"features": _FEATURES, "entities": {"user_id": [None]}}, _REJECTED, id="a null id"),
        pytest.param(
            {"features": _FEATURES, "entities": {"user_id": [CANARY, None]}},
            _REJECTED,
            id="a null id among others",
        ),
    ],
)
def test_a_failure_of_live_feast_is_taken_for_what_it_is(
    either_generated_stack: Stack, body: dict[str, Any], error: tuple[type[GatewayError], ErrorReason.ValueType]
) -> None:
    failure = failure_of(*_failed(either_generated_stack, body))
    assert (type(failure), failure.reason) == error


@pytest.mark.parametrize(
    "text",
    [
        "Timeout reading from 127.0.0.1:6380",
        "Error 111 connecting to 127.0.0.1:6380. Connection refused.",
        "Connection closed by server.",
        "something that Feast has never said",
    ],
)
def test_an_outage_of_redis_and_the_unknown_are_the_servers_fault(text: str) -> None:
    assert type(failure_of(500, json.dumps(text).encode())) is UpstreamUnavailableError
