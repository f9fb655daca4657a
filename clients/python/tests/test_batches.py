"""The results of many users are one value: it pickles, compares, and says who failed."""

import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import grpc
import pytest
from streamflow_features import (
    ErrorReason,
    FeatureServingError,
    InvalidArgument,
    ServingInfo,
    Unavailable,
    UserFeatures,
    UserFeaturesBatch,
)
from streamflow_features._errors import error_of


def _features(user_id: str, /, **values: Any) -> UserFeatures:
    return UserFeatures.of(user_id, {"months": 1, "plan": "DSL", "tags": [1, 2], **values}, contract_hash="sha256:00")


def _malformed(message: str = "malformed") -> FeatureServingError:
    return error_of(
        grpc.StatusCode.INVALID_ARGUMENT, message, reason=ErrorReason.USER_ID_MALFORMED, metadata={"a": "b"}
    )


def _unavailable(retry_after_s: float | None = None) -> FeatureServingError:
    return error_of(grpc.StatusCode.UNAVAILABLE, "down", retry_after_s=retry_after_s)


def _batch(*results: UserFeatures | FeatureServingError, ids: str = "abcdefgh") -> UserFeaturesBatch:
    dtypes = {"months": "Int64", "plan": "String", "tags": "List(Int32)"}
    return UserFeaturesBatch(ids[: len(results)], results, contract_hash="sha256:00", dtypes=dtypes)


def test_equal_batches_are_equal_and_pickle() -> None:
    def made() -> UserFeaturesBatch:
        return _batch(_features("a"), _malformed())

    assert made() == made()
    assert hash(made()) == hash(made())
    again = pickle.loads(pickle.dumps(made()))  # noqa: S301
    assert again == made()
    assert again.dtypes == made().dtypes
    assert replace(made(), dtypes={}) == made()


@pytest.mark.parametrize(
    "other",
    [
        {"user_ids": ["a", "z"]},
        {"results": [_features("a"), _malformed("other")]},
        {"contract_hash": "sha256:01"},
        {"serving_info": ServingInfo(0.1, 0.0, 0.1, 1, retried=False, hedged=False)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_batches_differ_when_anything_that_they_hold_differs(other: dict[str, Any]) -> None:
    batch = _batch(_features("a"), _malformed())
    assert replace(batch, **other) != batch


def test_a_batch_does_not_change() -> None:
    batch = _batch(_features("a"))
    with pytest.raises(FrozenInstanceError):
        batch.contract_hash = ""  # type: ignore[misc]
    with pytest.raises(TypeError):
        batch.dtypes["months"] = "String"  # type: ignore[index]


def test_a_batch_has_a_result_for_each_user() -> None:
    with pytest.raises(ValueError, match="2 user ids and 1 results"):
        UserFeaturesBatch(["a", "b"], [_features("a")])


def test_ok_and_slices_are_batches_of_the_same_contract_and_types() -> None:
    batch = _batch(_features("a"), _malformed(), _features("c"))
    assert batch.ok == UserFeaturesBatch(["a", "c"], [_features("a"), _features("c")], contract_hash="sha256:00")
    assert batch.ok.dtypes == batch.dtypes
    assert batch[1:].user_ids == ("b", "c")
    assert batch[-1] == _features("c")
    assert batch[1:].errors == batch.errors == {"b": _malformed()}


def test_errors_of_a_repeated_id_are_told_once_and_counted_each() -> None:
    batch = _batch(_malformed("first"), _features("a"), _unavailable(), _malformed("second"), ids="aaba")
    assert batch.errors == {"a": _malformed("first"), "b": _unavailable()}
    assert list(batch.errors) == ["a", "b"]
    with pytest.raises(FeatureServingError, match=r"^3 of 4 users have no features"):
        batch.raise_for_errors()


def test_a_batch_without_errors_raises_none() -> None:
    _batch(_features("a")).raise_for_errors()
    UserFeaturesBatch([], []).raise_for_errors()


def test_errors_of_one_code_are_raised_as_its_class_with_the_first_users() -> None:
    batch = _batch(_features("a"), *[_malformed() for _ in range(5)])
    with pytest.raises(InvalidArgument) as raised:
        batch.raise_for_errors()
    error = raised.value
    assert str(error) == (
        "5 of 6 users have no features: 'b' (INVALID_ARGUMENT), 'c' (INVALID_ARGUMENT), 'd' (INVALID_ARGUMENT), "
        "2 more. First: malformed"
    )
    assert (error.code, error.reason, error.metadata) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ErrorReason.USER_ID_MALFORMED,
        {"a": "b"},
    )
    assert error.__cause__ is batch[1]


def test_errors_of_several_codes_are_raised_as_the_root_of_errors() -> None:
    with pytest.raises(FeatureServingError) as raised:
        _batch(_malformed(), _unavailable(0.5)).raise_for_errors()
    assert type(raised.value) is FeatureServingError
    assert "'a' (INVALID_ARGUMENT), 'b' (UNAVAILABLE)" in str(raised.value)
    assert raised.value.retry_after_s is None


def test_the_wait_is_the_longest_and_there_is_none_unless_all_have_one() -> None:
    for errors, wait_s in (([0.5, 2.0], 2.0), ([0.5, None], None)):
        with pytest.raises(Unavailable) as raised:
            _batch(*map(_unavailable, errors)).raise_for_errors()
        assert raised.value.retry_after_s == wait_s


def test_a_dict_has_a_column_of_python_values_for_each_feature() -> None:
    batch = _batch(_features("a"), _features("b", months=None, tags=None))
    assert batch.to_dict() == {
        "user_id": ["a", "b"],
        "months": [1, None],
        "plan": ["DSL", "DSL"],
        "tags": [[1, 2], None],
    }
    assert list(batch.to_dict()) == ["user_id", "months", "plan", "tags"]


@pytest.mark.parametrize("method", ["to_dict", "to_pandas", "to_numpy", "to_arrow"])
def test_no_conversion_leaves_out_a_user_that_failed(method: str) -> None:
    with pytest.raises(InvalidArgument, match="1 of 2 users"):
        getattr(_batch(_features("a"), _malformed()), method)()


@pytest.mark.parametrize("method", ["to_dict", "to_pandas", "to_arrow"])
def test_a_feature_of_the_name_of_the_users_column_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="name of the column user_id"):
        getattr(_batch(_features("a", user_id="z")), method)()


def test_text_is_a_table_of_the_first_users() -> None:
    batch = _batch(_features("a"), _malformed())
    assert str(batch).splitlines() == [
        "user_id  months                       plan  tags",
        "a        1                            DSL   [1, 2]",
        "b        INVALID_ARGUMENT: malformed",
    ]
    many = UserFeaturesBatch("a" * 1500, [_features("a")] * 1500)
    assert str(many).splitlines()[10:] == ["a        1       DSL   [1, 2]", "… 1,500 users in all"]
    assert (repr(batch), repr(many)) == (
        "<UserFeaturesBatch: 2 users, 1 errors, 3 features>",
        "<UserFeaturesBatch: 1,500 users, 3 features>",
    )
