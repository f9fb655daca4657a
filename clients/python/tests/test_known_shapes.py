"""What is read without protobuf is what protobuf reads, whatever the bytes are."""

import copy
import os
import pickle
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow.features.v1.feature_pb2 import Feature
from streamflow.features.v1.feature_pb2 import UserFeatures as UserFeaturesMessage
from streamflow.features.v1.user_feature_service_pb2 import UserResult
from streamflow_features import UserFeatures
from streamflow_features._features import features_of_user
from streamflow_features._known_shapes import KnownShapes

# More on demand, such as HISTORIES=20000.
_EXAMPLES = int(os.environ.get("HISTORIES", "100"))
_INT32, _INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int32": st.integers(-2, 300) | _INT32,
    "int64": st.integers(-2, 300) | _INT64,
    "float": st.floats(width=32),
    "double": st.floats(),
    "string": _TEXT,
    "bytes": st.binary(max_size=5),
}
_STAMPS = st.fixed_dictionaries({"seconds": st.integers(-(2**33), 2**40) | _INT64, "nanos": _INT32})
_VALUES = st.one_of(
    st.just({}),
    *(st.fixed_dictionaries({f"{kind}_value": value}) for kind, value in _SCALARS.items()),
    *(
        st.fixed_dictionaries({f"{kind}_list_value": st.fixed_dictionaries({"val": st.lists(value, max_size=3)})})
        for kind, value in _SCALARS.items()
    ),
    st.fixed_dictionaries({"timestamp_value": _STAMPS}),
    st.fixed_dictionaries({"timestamp_list_value": st.fixed_dictionaries({"val": st.lists(_INT64, max_size=3)})}),
)


@st.composite
def _features(draw: st.DrawFn) -> Feature:
    stamp = draw(st.just({}) | st.fixed_dictionaries({"event_timestamp": _STAMPS}))
    return Feature(name=draw(_TEXT), status=draw(st.integers(0, 9)), **draw(_VALUES), **stamp)  # type: ignore[arg-type]


@st.composite
def _results(draw: st.DrawFn) -> bytes:
    """A UserResult as a server writes it."""
    features = draw(st.lists(_features(), min_size=1, max_size=6))
    user_id = draw(_TEXT | st.text("ab", max_size=140))
    user = UserFeaturesMessage(user_id=user_id, user_known=draw(st.booleans()), features=features)
    return UserResult(user_id=user_id, user_features=user).SerializeToString()


def _by_protobuf(result: bytes) -> UserFeatures | None:
    """Return what protobuf reads; None for bytes that are no message, or no features alone."""
    try:
        message = UserResult.FromString(result)
    except DecodeError:
        return None
    if not message.HasField("user_features") or message.HasField("stale_age"):
        return None
    return features_of_user(message.user_features, contract_hash="sha256:00")


def _shown(features: UserFeatures) -> str:
    """Return all that features hold as a text, in which True is not 1, and nan is nan."""
    try:
        stamps: object = dict(features.event_timestamps)
    except OverflowError:
        stamps = "outside of Python's times"
    return repr((features, features.user_known, dict(features.statuses), stamps, features.contract_hash))


def _learned(result: bytes) -> KnownShapes:
    shapes = KnownShapes()
    shapes.learn(result, UserResult.FromString(result).user_features)
    return shapes


def _assert_read_as_by_protobuf(shapes: KnownShapes, result: bytes) -> None:
    read = shapes.read(result, "sha256:00", None)
    if read is not None:
        expected = _by_protobuf(result)
        assert expected is not None
        assert _shown(read[0]) == _shown(expected)


@given(result=_results())
@settings(max_examples=_EXAMPLES, deadline=None)
def test_what_was_learned_is_read_as_by_protobuf(result: bytes) -> None:
    shapes = _learned(result)
    _assert_read_as_by_protobuf(shapes, result)


@given(result=_results(), data=st.data())
@settings(max_examples=_EXAMPLES, deadline=None)
def test_bytes_that_differ_anywhere_from_what_was_learned_are_read_as_by_protobuf(
    result: bytes, data: st.DataObject
) -> None:
    shapes = _learned(result)
    changed = bytearray(result)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    _assert_read_as_by_protobuf(shapes, bytes(changed))


@given(result=_results(), data=st.data())
@settings(max_examples=_EXAMPLES, deadline=None)
def test_bytes_with_more_or_fewer_in_them_are_read_as_by_protobuf(result: bytes, data: st.DataObject) -> None:
    shapes = _learned(result)
    at, end = sorted(data.draw(st.tuples(*[st.integers(0, len(result))] * 2)))
    more = data.draw(st.sampled_from([b"", result[at:end] * 2, b"\xa0\x06\x01", bytes(end - at)]))
    _assert_read_as_by_protobuf(shapes, result[:at] + more + result[end:])


def _result(user_id: str, *, fee: float, months: int, plan: str | None, stamp_s: int, status: int = 1) -> bytes:
    features = [
        Feature(name="monthly_fee", double_value=fee),
        Feature(name="months_active", int64_value=months),
        Feature(name="plan") if plan is None else Feature(name="plan", string_value=plan),
        Feature(name="has_paid", bool_value=months > 1),
    ]
    for feature in features:
        feature.status = status  # type: ignore[assignment]  # a number
        feature.event_timestamp.seconds = stamp_s
    user = UserFeaturesMessage(user_id=user_id, user_known=True, features=features)
    return UserResult(user_id=user_id, user_features=user).SerializeToString()


def test_other_users_values_and_times_of_the_same_sizes_are_read_without_protobuf() -> None:
    shapes = _learned(_result("3413-BMNZE", fee=29.85, months=200, plan="DSL", stamp_s=1_709_164_800))
    other = _result("u", fee=-1.5, months=16_000, plan="FTT", stamp_s=1_709_251_200)
    read = shapes.read(other, "sha256:00", None)
    assert read is not None
    assert dict(read[0]) == {"monthly_fee": -1.5, "months_active": 16_000, "plan": "FTT", "has_paid": True}
    _assert_read_as_by_protobuf(shapes, other)


@pytest.mark.parametrize("other", [{"months": 2}, {"plan": "Fiber"}, {"plan": None}, {"status": 4}], ids=str)
def test_other_sizes_and_statuses_are_left_to_protobuf_until_they_are_learned(other: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"fee": 29.85, "months": 200, "plan": "DSL", "stamp_s": 1_709_164_800}
    shapes = _learned(_result("u", **usual))
    strange = _result("u", **usual | other)
    assert shapes.read(strange, "sha256:00", None) is None
    for _ in range(16):
        shapes.learn(strange, UserResult.FromString(strange).user_features)
    assert shapes.read(strange, "sha256:00", None) is not None
    _assert_read_as_by_protobuf(shapes, strange)


def test_what_is_read_without_protobuf_is_the_same_in_every_way() -> None:
    result = _result("u", fee=29.85, months=2, plan="DSL", stamp_s=1_709_164_800)
    read = _learned(result).read(result, "sha256:00", None)
    expected = _by_protobuf(result)
    assert read is not None
    features, _ = read
    assert (type(features), features, hash(features)) == (UserFeatures, expected, hash(expected))
    assert pickle.loads(pickle.dumps(features)) == copy.deepcopy(features) == features  # noqa: S301
    assert list(features.keys()) == list(features)
    with pytest.raises(AttributeError):
        features.user_id = "v"  # type: ignore[misc]


def test_where_shapes_are_too_many_few_of_them_are_learned() -> None:
    shapes = KnownShapes()
    learned = 0
    for size in range(6_000):
        user = UserFeaturesMessage(user_id="u", features=[Feature(name="a", bytes_value=bytes(size % 3_000))])
        result = UserResult(user_id="u", user_features=user).SerializeToString()
        shapes.learn(result, user)
        learned += shapes.read(result, "sha256:00", None) is not None
    assert 256 < learned < 6_000 / 16
