"""Results and errors travel: they pickle, compare by all they hold, and keep what is newer than the client."""

import copy
import pickle
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from streamflow.features.v1 import error_reason_pb2
from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_PRESENT, Feature
from streamflow.features.v1.feature_pb2 import UserFeatures as UserFeaturesMessage
from streamflow.features.v1.user_feature_service_pb2 import CallError, GetUserFeaturesResponse
from streamflow_features import ErrorReason, FeatureServingError, FeatureStatus, ServingInfo, UnknownValue, UserFeatures
from streamflow_features._errors import error_of, from_call_error
from streamflow_features._features import user_features

_FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)
_PROTO = Path(__file__).parents[3] / "protos/streamflow/features/v1/error_reason.proto"
_REASONS = re.findall(r"// ([A-Z_]+): (?:(?!;).)*?  ERROR_REASON_([A-Z_]+) = (\d+);", _PROTO.read_text(), re.DOTALL)


def _of_a_reply(value: float = 29.85) -> UserFeatures:
    feature = Feature(name="monthly_fee", status=FeatureStatus.PRESENT, double_value=value)  # type: ignore[arg-type]
    feature.event_timestamp.FromDatetime(_FEBRUARY)
    user = UserFeaturesMessage(user_id="3413-BMNZE", features=[feature], user_known=True)
    return user_features(GetUserFeaturesResponse(user_features=user, contract_hash="sha256:00"))


def _made(**others: object) -> UserFeatures:
    made = UserFeatures.of(
        "3413-BMNZE", {"monthly_fee": 29.85}, event_timestamps={"monthly_fee": _FEBRUARY}, contract_hash="sha256:00"
    )
    return replace(made, **others)  # type: ignore[arg-type]


def test_features_of_a_reply_equal_those_that_are_made() -> None:
    assert _of_a_reply() == _made()
    assert hash(_of_a_reply()) == hash(_made())
    assert _of_a_reply(1.5) != _made()


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": "9237-HQITU"},
        {"user_known": False},
        {"contract_hash": "sha256:01"},
        {"stale_age_s": 1.0},
        {"serving_info": ServingInfo(0.1, 0.0, 0.1, 1, retried=False, hedged=False)},
        {"statuses": {"monthly_fee": FeatureStatus.OUTSIDE_MAX_AGE}},
        {"event_timestamps": {"monthly_fee": None}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_features_differ_when_anything_that_they_hold_differs(other: dict[str, object]) -> None:
    assert _made(**other) != _of_a_reply()
    assert _made(**other) == _made(**other)


@pytest.mark.parametrize("copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])  # noqa: S301
def test_features_of_a_reply_pickle_and_copy(copied: "type[UserFeatures]") -> None:
    features = _of_a_reply()
    assert copied(features) == features  # type: ignore[call-arg,arg-type]


def test_features_do_not_change() -> None:
    with pytest.raises(AttributeError):
        _made().user_id = "9237-HQITU"  # type: ignore[misc]
    with pytest.raises(TypeError):
        _made().statuses["monthly_fee"] = FeatureStatus.NOT_FOUND  # type: ignore[index]


def test_made_features_have_the_statuses_that_their_values_suggest() -> None:
    made = UserFeatures.of("u", {"a": 1, "b": None, "c": [1, 2]})
    assert made["c"] == (1, 2)
    assert [status.name for status in made.statuses.values()] == ["PRESENT", "NULL_VALUE", "PRESENT"]
    unknown = UserFeatures.of("u", {"a": None}, user_known=False)
    assert unknown.statuses == {"a": FeatureStatus.NOT_FOUND}
    with pytest.raises(ValueError, match="'z' has a status"):
        UserFeatures.of("u", {"a": 1}, statuses={"z": FeatureStatus.PRESENT})


def test_text_has_one_line_for_each_feature() -> None:
    assert str(_made()) == "monthly_fee  29.85  PRESENT  2024-02-29T00:00:00+00:00"


def test_a_newer_status_is_kept_as_unknown_with_its_number() -> None:
    status = FeatureStatus(9)
    assert (status.name, status.value, status == 9) == ("UNKNOWN", 9, True)
    assert pickle.loads(pickle.dumps(status)) == status  # noqa: S301
    message = UserFeaturesMessage(features=[Feature(name="a", status=9)])  # type: ignore[arg-type]
    features = user_features(GetUserFeaturesResponse(user_features=message))
    assert features.statuses == {"a": status}
    assert "UNKNOWN" in str(features)


def test_a_value_of_a_newer_type_is_kept_with_its_number() -> None:
    # Field 20, a varint.
    feature = Feature.FromString(Feature(name="a", status=FEATURE_STATUS_PRESENT).SerializeToString() + b"\xa0\x01\x07")
    message = UserFeaturesMessage(features=[feature])
    features = user_features(GetUserFeaturesResponse(user_features=message))
    assert features["a"] == UnknownValue(20, 7)
    assert pickle.loads(pickle.dumps(features)) == features  # noqa: S301


def test_a_newer_reason_is_kept_as_unknown_with_its_number() -> None:
    error = from_call_error(CallError(code=3, reason=99, message="m"))  # type: ignore[arg-type]
    assert error.reason is not None
    assert (error.reason.name, error.reason) == ("UNKNOWN", "ERROR_REASON_99")


def test_errors_pickle_with_all_they_hold() -> None:
    error = error_of(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "too many",
        reason=ErrorReason.OVERLOADED,
        metadata={"max_users": "3"},
        retry_after_s=0.5,
    )
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
    assert again.reason is ErrorReason.OVERLOADED


def test_the_enum_has_every_reason_of_the_proto() -> None:
    named = {f"ERROR_REASON_{name}" for name in ErrorReason.__members__}
    assert named == set(error_reason_pb2.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}
    assert all(reason.value == f"ERROR_REASON_{reason.name}" for reason in ErrorReason)


@pytest.mark.parametrize(("code", "name", "number"), _REASONS)
def test_every_reason_of_the_proto_has_a_class(code: str, name: str, number: str) -> None:
    sent = CallError(code=grpc.StatusCode[code].value[0], reason=int(number), message="m")  # type: ignore[arg-type]
    error = from_call_error(sent)
    assert type(error).__base__ is FeatureServingError
    assert re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).upper() == code
    assert error.reason is ErrorReason[name]


def test_the_proto_says_the_code_of_every_reason() -> None:
    assert {name for _, name, _ in _REASONS} == set(ErrorReason.__members__)
