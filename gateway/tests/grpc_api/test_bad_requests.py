"""Every kind of bad request is refused with its code, its reason and a message that says what to do, before any hop."""

from dataclasses import dataclass

import grpc
import pytest
from gateway_fakes import FakeFeatureServer, Gateway, error_details
from streamflow.features.v1.user_feature_service_pb2 import FeatureReferences, GetUserFeaturesRequest

_USER = "3413-BMNZE"
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_NOT_FOUND = grpc.StatusCode.NOT_FOUND


@dataclass(frozen=True)
class Refusal:
    """A request, and what its refusal says."""

    request: GetUserFeaturesRequest
    code: grpc.StatusCode
    reason: str
    message: str
    field: str


def _service(name: str) -> GetUserFeaturesRequest:
    return GetUserFeaturesRequest(user_id=_USER, feature_service=name)


def _references(*references: str) -> GetUserFeaturesRequest:
    return GetUserFeaturesRequest(user_id=_USER, feature_references=FeatureReferences(references=references))


def _user(user_id: str) -> GetUserFeaturesRequest:
    return GetUserFeaturesRequest(user_id=user_id)


BAD_REQUESTS = [
    pytest.param(Refusal(_user(""), _INVALID, "USER_ID_EMPTY", "user_id is empty", "user_id"), id="no user id"),
    pytest.param(
        Refusal(_user("x" * 129), _INVALID, "USER_ID_TOO_LONG", "longer than 128 bytes", "user_id"), id="over-long id"
    ),
    pytest.param(
        Refusal(_user("é" * 65), _INVALID, "USER_ID_TOO_LONG", "longer than 128 bytes", "user_id"),
        id="id over-long in bytes only",
    ),
    pytest.param(
        Refusal(_user("3413-bmnze"), _INVALID, "USER_ID_MALFORMED", "not of the form ^[0-9]{4}-[A-Z]{5}$", "user_id"),
        id="lower case id",
    ),
    pytest.param(
        Refusal(_user("3413BMNZE"), _INVALID, "USER_ID_MALFORMED", "'3413BMNZE' is not of the form", "user_id"),
        id="id without its dash",
    ),
    pytest.param(
        Refusal(_user(" 3413-BMNZE"), _INVALID, "USER_ID_MALFORMED", "' 3413-BMNZE'", "user_id"), id="id after a blank"
    ),
    pytest.param(
        Refusal(_user("3413-BMNZE\n"), _INVALID, "USER_ID_MALFORMED", "'3413-BMNZE\\n'", "user_id"),
        id="id before a line end",
    ),
    pytest.param(
        Refusal(_user("3413-BMNZE\x00"), _INVALID, "USER_ID_MALFORMED", "\\x00", "user_id"), id="id with a NUL"
    ),
    pytest.param(
        Refusal(_user("٣٤١٣-BMNZE"), _INVALID, "USER_ID_MALFORMED", "not of the form", "user_id"),
        id="id with digits of another script",
    ),
    pytest.param(
        Refusal(_service(""), _INVALID, "FEATURE_SERVICE_EMPTY", "leave the selection out", "feature_service"),
        id="feature service without a name",
    ),
    pytest.param(
        Refusal(
            _service("churn_v2"),
            _NOT_FOUND,
            "FEATURE_SERVICE_UNKNOWN",
            "'churn_v2'; there are churn_v1, scores_v1",
            "feature_service",
        ),
        id="unknown feature service",
    ),
    pytest.param(
        Refusal(_service("CHURN_V1"), _NOT_FOUND, "FEATURE_SERVICE_UNKNOWN", "'CHURN_V1'", "feature_service"),
        id="feature service in another case",
    ),
    pytest.param(
        Refusal(_service("x" * 5000), _NOT_FOUND, "FEATURE_SERVICE_UNKNOWN", "xxx…", "feature_service"),
        id="over-long feature service",
    ),
    pytest.param(
        Refusal(
            _references(),
            _INVALID,
            "FEATURE_REFERENCES_EMPTY",
            "feature_references is empty",
            "feature_references.references",
        ),
        id="no references",
    ),
    pytest.param(
        Refusal(
            _references("profile_fv:monthly_fee", "profile_fv:monthly_fee"),
            _INVALID,
            "FEATURE_REFERENCE_DUPLICATE",
            "given twice",
            "feature_references.references[1]",
        ),
        id="a reference twice",
    ),
    pytest.param(
        Refusal(
            _references("monthly_fee"),
            _INVALID,
            "FEATURE_REFERENCE_MALFORMED",
            'write "feature_view:feature"',
            "feature_references.references[0]",
        ),
        id="reference without a view",
    ),
    pytest.param(
        Refusal(
            _references(":monthly_fee"),
            _INVALID,
            "FEATURE_REFERENCE_MALFORMED",
            "':monthly_fee'",
            "feature_references.references[0]",
        ),
        id="reference with an empty view",
    ),
    pytest.param(
        Refusal(
            _references("profile_fv:"),
            _INVALID,
            "FEATURE_REFERENCE_MALFORMED",
            "'profile_fv:'",
            "feature_references.references[0]",
        ),
        id="reference with an empty feature",
    ),
    pytest.param(
        Refusal(_references(""), _INVALID, "FEATURE_REFERENCE_MALFORMED", "''", "feature_references.references[0]"),
        id="empty reference",
    ),
    pytest.param(
        Refusal(
            _references("profile_fv:a:b"),
            _INVALID,
            "FEATURE_REFERENCE_MALFORMED",
            "'profile_fv:a:b'",
            "feature_references.references[0]",
        ),
        id="reference with two colons",
    ),
    pytest.param(
        Refusal(
            _references("profile_fv:monthly_fee", "nope_fv:x"),
            _NOT_FOUND,
            "FEATURE_VIEW_UNKNOWN",
            "no feature view 'nope_fv'; there are profile_fv, usage_fv",
            "feature_references.references[1]",
        ),
        id="unknown view",
    ),
    pytest.param(
        Refusal(
            _references("profile_fv@v2:monthly_fee"),
            _NOT_FOUND,
            "FEATURE_VIEW_UNKNOWN",
            "no feature view 'profile_fv@v2'; the gateway takes no versions; write 'profile_fv:monthly_fee'",
            "feature_references.references[0]",
        ),
        id="a view's version",
    ),
    pytest.param(
        Refusal(
            _references("usage_fv:monthly_fee"),
            _NOT_FOUND,
            "FEATURE_UNKNOWN",
            "usage_fv has no feature 'monthly_fee'; it has watch_hours, score",
            "feature_references.references[0]",
        ),
        id="a feature of another view",
    ),
    pytest.param(
        Refusal(
            _references("profile_fv:user_id"),
            _NOT_FOUND,
            "FEATURE_UNKNOWN",
            "no feature 'user_id'",
            "feature_references.references[0]",
        ),
        id="the join key as a feature",
    ),
    pytest.param(
        Refusal(
            _references(*(f"profile_fv:f{n}" for n in range(8))),
            _INVALID,
            "FEATURE_REFERENCES_TOO_MANY",
            "There are 8 references, and 7 features in all",
            "feature_references.references",
        ),
        id="more references than features",
    ),
]


@pytest.mark.parametrize("refusal", BAD_REQUESTS)
async def test_a_bad_request_is_refused_before_any_hop(
    gateway: Gateway, feature_server: FakeFeatureServer, refusal: Refusal
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.GetUserFeatures(refusal.request, timeout=5)
    error = raised.value
    assert error.code() is refusal.code
    assert refusal.message in (error.details() or "")
    assert len(error.details() or "") < 300
    info, bad_request = error_details(error)
    assert info.reason == f"ERROR_REASON_{refusal.reason}"
    assert info.domain == "streamflow.features.v1"
    assert [violation.field for violation in bad_request.field_violations] == [refusal.field]
    assert feature_server.requests == []


async def test_bytes_that_are_no_request_are_refused(gateway: Gateway) -> None:
    call = _raw_call(gateway, "GetUserFeatures")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(b"\xff\xff\xff", timeout=5)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    info, _ = error_details(raised.value)
    assert info.reason == "ERROR_REASON_REQUEST_MALFORMED"


async def test_an_unknown_method_is_unimplemented(gateway: Gateway) -> None:
    call = _raw_call(gateway, "DropUserFeatures")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(b"", timeout=5)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def _raw_call(gateway: Gateway, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return gateway.channel.unary_unary(f"/streamflow.features.v1.UserFeatureService/{method}")
