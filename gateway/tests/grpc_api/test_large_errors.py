"""Errors with more to say than gRPC's trailers take: clipped, with the number of what is left out."""

import json
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from aiohttp import ClientSession, web
from feature_gateway.clipping import listed
from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api.guard import rich_status
from feature_gateway.settings import Settings
from gateway_fakes import (
    FakeFeatureServer,
    contract_content,
    error_details,
    feast_answer,
    service_entry,
    serving,
    with_hash,
)
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import FeatureReferences, GetUserFeaturesRequest, StalenessPolicy

_FEATURES = [f"feature_with_long_name_{number:03}" for number in range(120)]
_SOFT_LIMIT_BYTES = 8192
"""Above it a client of gRPC core drops some trailers, above twice as much all; a Java client drops all."""

_NOT_ENCODED = "".join(chr(byte) for byte in range(0x20, 0x7F) if byte != ord("%"))
_USER = "3413-BMNZE"


@pytest.fixture
def wide(settings: Settings, feature_server: FakeFeatureServer) -> Settings:
    """Settings whose contract has a view of 120 features and a service of all of them."""
    content = contract_content()
    features: list[dict[str, Any]] = [{"name": name, "dtype": "Int64"} for name in _FEATURES]
    content["feature_views"].append({"name": "wide_fv", "entities": ["user"], "max_age_s": None, "features": features})
    content["feature_services"].append(
        service_entry("wide_v1", [("wide_fv", name, "Int64", None) for name in _FEATURES])
    )
    settings.contract_path.write_text(json.dumps(with_hash(content)))

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        values = {reference.replace(":", "__"): 1 for reference in body["features"]}
        return web.json_response(feast_answer(body, values=values))

    feature_server.answer = feature_server.canary_answer = answer
    return settings


async def test_features_too_old_are_named_as_far_as_they_fit(wide: Settings) -> None:
    request = GetUserFeaturesRequest(
        user_id=_USER, feature_service="wide_v1", staleness_policy=StalenessPolicy.STALENESS_POLICY_FAIL
    )
    request.max_age.FromSeconds(1)
    async with serving(wide) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await gateway.stub.GetUserFeatures(request, timeout=5)
        url = f"{gateway.http_url}/features/{_USER}?feature_service=wide_v1&staleness_policy=fail&max_age_s=1"
        async with ClientSession() as session, session.get(url) as response:
            problem = await response.json()
    error = raised.value
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    info, _ = error_details(error)
    assert info.reason == "ERROR_REASON_FEATURES_TOO_OLD"
    shown = [name for name in _FEATURES if name in info.metadata]
    assert shown == _FEATURES[: len(shown)]
    assert 10 < len(shown) < len(_FEATURES)
    assert info.metadata["more"] == str(len(_FEATURES) - len(shown))
    told = [name for name in _FEATURES if name in (error.details() or "")]
    assert 10 < len(told) < len(_FEATURES)
    assert (error.details() or "").endswith(f" and {len(_FEATURES) - len(told)} more")
    assert (response.status, problem["metadata"].keys()) == (412, info.metadata.keys())
    assert problem["detail"].endswith(f" and {len(_FEATURES) - len(told)} more")


async def test_an_unknown_feature_is_told_with_some_of_those_that_there_are(wide: Settings) -> None:
    async with serving(wide) as gateway:
        references = FeatureReferences(references=["wide_fv:nope"])
        request = GetUserFeaturesRequest(user_id=_USER, feature_references=references)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await gateway.stub.GetUserFeatures(request, timeout=5)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert f"it has {_FEATURES[0]}, " in (raised.value.details() or "")
    assert (raised.value.details() or "").endswith(" more.")


@pytest.mark.parametrize("character", ["a", "é", "名", "\N{GRINNING FACE}", "%", "\n", "\udcff"])
def test_no_error_is_longer_than_every_client_takes(character: str) -> None:
    error = GatewayError(
        ErrorReason.ERROR_REASON_FEATURE_UNKNOWN,
        character * 5000,
        field="feature_references.references[0]",
        metadata={f"{number}{character * 200}": character * 5000 for number in range(100)},
        retry_after_s=1.0,
    )
    status = rich_status(error)
    # As gRPC's HTTP/2 protocol has it: what is not printable ASCII, and %, take three bytes.
    percent_encoded = len(quote(status.message, safe=_NOT_ENCODED))
    base64_encoded = -(-status.ByteSize() // 3) * 4
    assert percent_encoded + base64_encoded < _SOFT_LIMIT_BYTES - 500
    assert "more characters)" in status.message
    assert error.metadata["more"].isdecimal()


def test_what_fits_is_told_whole() -> None:
    error = GatewayError(ErrorReason.ERROR_REASON_FEATURE_UNKNOWN, "a" * 800, metadata={"feature": "b" * 200})
    assert (error.message, error.metadata) == ("a" * 800, {"feature": "b" * 200})
    assert listed(["a", "b"]) == "a, b"
    assert listed([]) == ""
    assert listed(["a" * 5000, "b"]) == "2 in all"
