"""Each method of both clients but the stream, at a real gateway and at the fake: one suite, the same answers."""

from pathlib import Path
from typing import Any

import pytest
from both_faces import TIMEOUT_S, Asker, asking
from gateway_fakes import contract_content, written_contract
from grpc.aio import UsageError
from places import PACE, STRANGER, USER, user
from streamflow_features import (
    AsyncFeatureClient,
    FailedPrecondition,
    FeatureClient,
    FeatureDescription,
    FeatureStatus,
    InvalidArgument,
    NotFound,
    RequestDataDescription,
    StalenessPolicy,
    UserFeatures,
)
from typed_modules import typed_module

_DAY_S = 86_400
# The rows are of February 2024, and null for plan_stream_tv.
_MONTHS, _PLAN = "profile_fv:months_active", "profile_fv:plan_stream_tv"


@pytest.fixture
def ask(ask_either: Asker) -> Asker:
    return ask_either


async def test_values_come_in_contract_order(ask: Asker) -> None:
    features = await ask("get_user_features", USER)
    assert list(features) == ["months_active", "monthly_fee", "plan_stream_tv", "net_service"]
    assert list(features.values()) == [1, 29.85, None, "DSL"]
    assert features.user_id == USER
    assert (features.serving_info, features.stale_age_s) == (None, None)


async def test_a_batch_has_one_result_a_user_in_the_order_asked(ask: Asker) -> None:
    user_ids = [user(number) for number in (5, 3, 5, *range(100, 200))]
    batch = await ask("batch_get_user_features", iter(user_ids), features=[_MONTHS])
    assert [result.user_id for result in batch] == user_ids
    assert [result["months_active"] for result in batch] == [int(user_id[:4]) for user_id in user_ids]
    assert {result.contract_hash for result in batch} == {batch.contract_hash}
    assert (len(batch), len(batch[:2]), batch[-1]["months_active"]) == (len(user_ids), 2, 199)
    assert batch.serving_info is None


async def test_one_users_failure_is_that_users_result(ask: Asker) -> None:
    known, malformed, empty = await ask("batch_get_user_features", [USER, "nobody", ""])
    assert isinstance(known, UserFeatures)
    assert isinstance(malformed, InvalidArgument)
    assert "'nobody' is not of the form" in str(malformed)
    assert malformed.reason == "ERROR_REASON_USER_ID_MALFORMED"
    assert malformed.metadata == {"pattern": "^[0-9]{4}-[A-Z]{5}$"}
    assert malformed.retry_after_s is None
    assert empty.reason == "ERROR_REASON_USER_ID_EMPTY"


async def test_under_the_policy_fail_old_features_are_the_error_of_theiruser(ask: Asker) -> None:
    (result,) = await ask(
        "batch_get_user_features", [USER], max_age_s=_DAY_S, staleness_policy=StalenessPolicy.FAIL, features=[_MONTHS]
    )
    assert isinstance(result, FailedPrecondition)
    assert float(result.metadata["months_active"]) > _DAY_S


async def test_what_is_no_users_fault_fails_the_whole_batch(ask: Asker) -> None:
    assert isinstance(await ask.failure("batch_get_user_features", [USER], feature_service="nope"), NotFound)
    none = await ask.failure("batch_get_user_features", [])
    assert (type(none), none.reason) == (InvalidArgument, "ERROR_REASON_USER_IDS_EMPTY")


@pytest.mark.parametrize(
    ("options", "value", "status"),
    [
        ({"max_age_s": _DAY_S}, 1, FeatureStatus.OUTSIDE_MAX_AGE),
        ({"max_age_s": 0.5, "staleness_policy": StalenessPolicy.FLAG}, 1, FeatureStatus.OUTSIDE_MAX_AGE),
        ({"max_age_s": 0, "staleness_policy": StalenessPolicy.OMIT}, None, FeatureStatus.OUTSIDE_MAX_AGE),
        ({"max_age_s": 36_600 * _DAY_S, "staleness_policy": StalenessPolicy.FAIL}, 1, FeatureStatus.PRESENT),
    ],
)
async def test_a_maximum_age_of_the_calls_own_and_its_policies(
    ask: Asker, options: dict[str, Any], value: int | None, status: FeatureStatus
) -> None:
    features = await ask("get_user_features", USER, features=[_MONTHS, _PLAN], **options)
    assert features["months_active"] == value
    assert features.statuses["months_active"] is status
    assert features.statuses["plan_stream_tv"] is FeatureStatus.NULL_VALUE


async def test_features_too_old_for_the_policy_are_named_with_their_ages(ask: Asker) -> None:
    error = await ask.failure("get_user_features", USER, max_age_s=_DAY_S, staleness_policy=StalenessPolicy.FAIL)
    assert (type(error), error.reason) == (FailedPrecondition, "ERROR_REASON_FEATURES_TOO_OLD")
    assert float(error.metadata["monthly_fee"]) > _DAY_S


async def test_a_negative_maximum_age_is_the_gateways_to_refuse(ask: Asker) -> None:
    error = await ask.failure("get_user_features", USER, max_age_s=-0.5)
    assert (type(error), error.reason) == (InvalidArgument, "ERROR_REASON_MAX_AGE_INVALID")


async def test_another_contract_is_a_failed_precondition(ask: Asker) -> None:
    error = await ask.failure("get_user_features", USER, contract_hash="sha256:00")
    assert (type(error), error.reason) == (FailedPrecondition, "ERROR_REASON_CONTRACT_MISMATCH")
    current = error.metadata["contract_hash"]
    assert (await ask("get_user_features", USER, contract_hash=current)).contract_hash == current
    assert (await ask("batch_get_user_features", [USER], contract_hash=current)).contract_hash == current


async def test_serving_info_is_in_the_result_of_those_who_ask(ask: Asker) -> None:
    info = (await ask("get_user_features", USER, include_serving_info=True)).serving_info
    assert 0 < info.upstream_time_s <= info.gateway_time_s < TIMEOUT_S
    assert info.queue_time_s >= 0
    assert (info.batch_size, info.retried, info.hedged) == (1, False, False)
    batch = await ask("batch_get_user_features", [USER, user(1)], include_serving_info=True)
    assert batch.serving_info.batch_size == 2


async def test_feature_services_are_described_in_the_order_of_results(ask: Asker) -> None:
    scores = await ask("get_feature_service", "scores_v1")
    assert scores.name == "scores_v1"
    assert scores.join_key == "user_id"
    assert scores.features == (
        FeatureDescription("profile_fv__score", "profile_fv:score", "Float32", None),
        FeatureDescription("usage_fv__score", "usage_fv:score", "Float64", 86400.0),
    )
    services = await ask("list_feature_services")
    assert [service.name for service in services] == ["churn_v1", PACE, "scores_v1"]
    assert services[2] == scores
    assert services[1].request_data == (RequestDataDescription("minutes", "Float64"),)
    features = await ask("get_user_features", USER, feature_service="scores_v1", contract_hash=scores.contract_hash)
    assert list(features) == [feature.name for feature in scores.features]
    assert isinstance(await ask.failure("get_feature_service", "nope"), NotFound)


@pytest.mark.parametrize(
    ("method", "whom", "keywords", "message"),
    [
        ("get_user_features", USER, {"features": _MONTHS}, "features is one text"),
        ("batch_get_user_features", USER, {}, "user_ids is one text"),
        ("get_user_features", USER, {"max_age_s": float("nan")}, "max_age_s is nan"),
        ("get_user_features", USER, {"staleness_policy": 9}, "9 is not a valid StalenessPolicy"),
        ("batch_get_user_features", [], {"feature_service": "a", "features": ["b:c"]}, "not both"),
        ("get_users_features", USER, {}, "user_ids is one text"),
        ("get_users_features", [], {"max_concurrency": 0}, "max_concurrency of at least 1"),
        ("get_users_features", [], {"retries": -1}, "retries of at least 0"),
        ("get_users_features", [], {"feature_service": "a", "features": ["b:c"]}, "not both"),
    ],
)
async def test_what_can_not_be_asked_is_refused_before_any_call(
    face: str, method: str, whom: Any, keywords: dict[str, Any], message: str
) -> None:
    async with asking(face, "127.0.0.1:1") as ask:
        with pytest.raises((TypeError, ValueError), match=message):
            await ask(method, whom, **keywords)


async def test_more_users_than_a_batch_can_have_get_their_own_features_in_the_order_of_the_ids(ask: Asker) -> None:
    user_ids = [user(number % 200) for number in range(3500)]
    told: list[tuple[int, int]] = []
    batch = await ask(
        "get_users_features",
        iter(user_ids),
        features=[_MONTHS],
        progress=lambda done, total: told.append((done, total)),
    )
    assert batch.user_ids == tuple(user_ids)
    assert [user.user_id for user in batch] == user_ids
    assert [user["months_active"] for user in batch] == [int(user_id[:4]) for user_id in user_ids]
    assert batch.contract_hash == batch[0].contract_hash
    assert batch.dtypes == {"months_active": "Int64"}
    assert batch.to_numpy().shape == (3500, 1)
    assert sorted(told) == told
    assert len(told) == 4
    assert told[-1] == (3500, 3500)


async def test_one_users_error_is_that_users_result(ask: Asker) -> None:
    batch = await ask("get_users_features", [user(1), "nobody", user(2), "nobody"])
    assert [type(result) for result in batch] == [UserFeatures, InvalidArgument, UserFeatures, InvalidArgument]
    assert list(batch.errors) == ["nobody"]
    assert list(batch.ok.to_pandas()["user_id"]) == [user(1), user(2)]
    with pytest.raises(InvalidArgument, match="2 of 4 users"):
        batch.to_pandas()


@pytest.mark.parametrize(
    ("options", "raised"),
    [
        ({"feature_service": "nope"}, NotFound),
        ({"features": ["a"]}, InvalidArgument),
        ({"contract_hash": "sha256:00"}, FailedPrecondition),
    ],
    ids=str,
)
async def test_what_would_fail_every_request_is_raised(ask: Asker, options: Any, raised: type[Exception]) -> None:
    assert isinstance(await ask.failure("get_users_features", map(user, range(2500)), **options), raised)


async def test_types_of_features_without_a_value_are_those_of_the_contract(ask: Asker) -> None:
    # The fake has no value of plan_stream_tv.
    for options in ({}, {"feature_service": "churn_v1"}, {"features": ["profile_fv:plan_stream_tv"]}):
        batch = await ask("get_users_features", [user(1)], **options)
        assert batch.dtypes["plan_stream_tv"] == "Bool"
        assert str(batch.to_pandas()["plan_stream_tv"].dtype) == "boolean"


async def test_no_users_and_users_that_all_failed_have_columns_too(ask: Asker) -> None:
    names = ["months_active", "monthly_fee", "plan_stream_tv", "net_service"]
    for user_ids in ([], ["nobody"]):
        batch = await ask("get_users_features", user_ids, feature_service="churn_v1")
        assert batch.user_ids == tuple(user_ids)
        assert batch.contract_hash.startswith("sha256:")
        assert list(batch.ok.to_pandas().columns) == ["user_id", *names]


async def test_an_unknown_user_has_no_values_and_is_no_error(ask: Asker) -> None:
    features = await ask("get_user_features", STRANGER)
    assert (features.user_known, set(features.values())) == (False, {None})
    assert set(features.statuses.values()) == {FeatureStatus.NOT_FOUND}


async def test_features_are_computed_from_the_request_data_of_all_users_and_of_each(ask: Asker) -> None:
    features = await ask("get_user_features", user(7), feature_service=PACE, request_data={"minutes": 2.5})
    assert dict(features) == {"pace_out": 9.5}
    by_user = [{"minutes": 1}, {"minutes": 2}]
    for method in ("batch_get_user_features", "get_users_features"):
        batch = await ask(method, [user(7), user(8)], feature_service=PACE, request_data_by_user=by_user)
        assert batch.to_dict() == {"user_id": [user(7), user(8)], "pace_out": [8.0, 10.0]}
    refused = await ask.failure("get_user_features", user(7), feature_service=PACE)
    assert (type(refused), refused.metadata["name"]) == (InvalidArgument, "minutes")


async def test_rows_are_answered_as_by_feasts_sdk(ask: Asker) -> None:
    rows = [{"user_id": user(3)}, {"user_id": STRANGER}]
    response = await ask("get_online_features", [_PLAN, _MONTHS], rows)
    assert response.to_dict() == {
        "user_id": [user(3), STRANGER],
        "plan_stream_tv": [None, None],
        "months_active": [3, None],
    }
    assert response.columns["plan_stream_tv"].statuses == (FeatureStatus.NULL_VALUE, FeatureStatus.NOT_FOUND)


async def test_a_bound_client_asks_as_it_is_bound_and_checks_the_contract(ask: Asker) -> None:
    current = await ask("check")
    bound = Asker(ask.client.bind(feature_service="scores_v1", contract_hash=current))
    assert list(await bound("get_user_features", USER)) == ["profile_fv__score", "usage_fv__score"]
    assert await bound("check") == current
    other = Asker(ask.client.bind(contract_hash="sha256:00"))
    assert isinstance(await other.failure("check"), FailedPrecondition)
    assert isinstance(await other.failure("get_users_features", [USER]), FailedPrecondition)
    assert isinstance(await Asker(ask.client.bind(feature_service="nope")).failure("check"), NotFound)


async def test_a_call_of_a_client_that_is_closed_fails(ask: Asker) -> None:
    await ask("get_user_features", USER)
    await ask.close()
    with pytest.raises((ValueError, UsageError)):
        await ask("get_user_features", USER)


async def test_typed_features_are_filled_and_belong_to_one_contract(ask: Asker, tmp_path: Path) -> None:
    module = typed_module(tmp_path / "contract.json")
    features = await ask("get", module.ChurnV1, user(3))
    assert (type(features), features.months_active, features.plan_stream_tv) == (module.ChurnV1, 3, None)
    assert features.features == await ask("get_user_features", user(3))
    assert (await ask("get", module.PaceV1.given(minutes=2), user(3))).pace_out == 5.0
    (tmp_path / "other").mkdir()
    other = typed_module(written_contract(tmp_path / "other", {**contract_content(), "project": "other"}))
    assert isinstance(await ask.failure("get", other.ChurnV1, user(3)), FailedPrecondition)


@pytest.mark.parametrize("client", [FeatureClient, AsyncFeatureClient])
def test_both_clients_have_these_methods_and_no_others(client: type[Any]) -> None:
    """A method that is added is added here, and to the tests of this file."""
    assert {name for name in dir(client) if not name.startswith("_")} == {
        "batch_get_user_features",
        "bind",
        "check",
        "close",
        "get",
        "get_feature_service",
        "get_online_features",
        "get_user_features",
        "get_users_features",
        "list_feature_services",
        "stream_user_features",
    }
