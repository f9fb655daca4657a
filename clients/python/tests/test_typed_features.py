"""Both faces of the client fill classes of typed features, which are written from the contract of a real gateway."""

import dataclasses
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from both_faces import Asker, asking
from feature_gateway.settings import Settings
from gateway_fakes import (
    NEVER_WRITTEN,
    FakeFeatureServer,
    Gateway,
    contract_content,
    feast_answer,
    written_contract,
)
from request_data_fakes import reads_of
from streamflow_features import (
    ErrorReason,
    FailedPrecondition,
    FeatureStatus,
    InvalidArgument,
    Question,
    StalenessPolicy,
    UserFeatures,
    Value,
)
from streamflow_services import ChurnV1
from typed_modules import typed_module

_USER = "3413-BMNZE"
_CHURN_V1 = [field.name for field in dataclasses.fields(ChurnV1) if field.name != "features"]


@pytest.fixture
def module(settings: Settings) -> Any:
    """The module of the contract that the gateway answers by."""
    return typed_module(settings.contract_path)


@pytest.fixture
def other(tmp_path: Path) -> Any:
    """The module of a contract that no gateway answers by."""
    folder = tmp_path / "other"
    folder.mkdir()
    return typed_module(written_contract(folder, {**contract_content(), "project": "other"}))


@pytest.fixture
async def ask_drivers(face: str, drivers: Gateway) -> AsyncIterator[Asker]:
    async with asking(face, drivers.addresses.grpc, follow_health=False) as asker:
        yield asker


async def test_the_fields_have_the_values_and_the_features_their_statuses(ask: Asker, module: Any) -> None:
    features = await ask("get", module.ChurnV1, _USER)
    assert type(features) is module.ChurnV1
    assert (features.months_active, features.monthly_fee, features.net_service) == (1, 29.85, "DSL")
    assert features.plan_stream_tv is None
    assert features.features.statuses["plan_stream_tv"] is FeatureStatus.NULL_VALUE
    assert features.features == await ask("get_user_features", _USER)
    assert repr(features) == "ChurnV1(months_active=1, monthly_fee=29.85, plan_stream_tv=None, net_service='DSL')"
    with pytest.raises(dataclasses.FrozenInstanceError):
        features.months_active = 2


async def test_features_that_share_a_name_are_fields_by_their_full_names(ask: Asker, module: Any) -> None:
    features = await ask("get", module.ScoresV1, _USER, staleness_policy=StalenessPolicy.OMIT)
    assert (features.profile_fv__score, features.usage_fv__score) == (0.5, None)
    assert features.features.statuses["usage_fv__score"] is FeatureStatus.OUTSIDE_MAX_AGE


async def test_an_unknown_user_has_no_values_and_is_no_error(
    ask: Asker, module: Any, feature_server: FakeFeatureServer
) -> None:
    async def no_rows(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        names = [reference.replace(":", "__") for reference in body["features"]]
        return web.json_response(feast_answer(body, values=dict.fromkeys(names), stamp=NEVER_WRITTEN))

    feature_server.answer = no_rows
    features = await ask("get", module.ChurnV1, _USER)
    assert (features.months_active, features.features.user_known) == (None, False)


async def test_a_class_of_another_contract_fails_with_what_to_do(ask: Asker, module: Any, other: Any) -> None:
    failure = await ask.failure("get", other.ChurnV1, _USER)
    assert isinstance(failure, FailedPrecondition)
    assert failure.reason is ErrorReason.CONTRACT_MISMATCH
    assert failure.metadata == {"requested_hash": other.CONTRACT_HASH, "contract_hash": module.CONTRACT_HASH}
    said = f"ChurnV1 was written for the contract {other.CONTRACT_HASH}, and the gateway has {module.CONTRACT_HASH}"
    assert str(failure).startswith(said)
    assert "`streamflow-features codegen`" in str(failure)


async def test_other_failures_are_those_of_get_user_features(ask: Asker, module: Any) -> None:
    assert isinstance(await ask.failure("get", module.ChurnV1, "nobody"), InvalidArgument)
    too_old = await ask.failure("get", module.ScoresV1, _USER, staleness_policy=StalenessPolicy.FAIL)
    assert (type(too_old), too_old.reason) == (FailedPrecondition, ErrorReason.FEATURES_TOO_OLD)


async def test_a_class_goes_before_what_is_bound_and_takes_the_rest(ask: Asker, module: Any) -> None:
    bound = Asker(
        ask.client.bind(
            features=["profile_fv:score"],
            contract_hash="sha256:01",
            request_data={"x": 1},
            staleness_policy=StalenessPolicy.OMIT,
        )
    )
    assert (await bound("get", module.ChurnV1, _USER)).months_active == 1
    assert (await bound("get", module.ScoresV1, _USER)).usage_fv__score is None


async def test_results_of_batches_and_streams_become_typed_and_errors_are_raised(ask: Asker, module: Any) -> None:
    asked = module.ChurnV1.options()
    batch = await ask("get_users_features", [_USER, "nobody"], **asked)
    assert [module.ChurnV1.of(result).months_active for result in batch.ok] == [1]
    with pytest.raises(InvalidArgument, match="nobody"):
        module.ChurnV1.of(batch[1])

    async def questions() -> AsyncIterator[Question]:
        yield Question(_USER, **asked)

    assert [module.ChurnV1.of(one.result).monthly_fee async for one in ask.stream(questions())] == [29.85]


async def test_request_data_are_arguments(
    ask_drivers: Asker, feature_server: FakeFeatureServer, tmp_path: Path
) -> None:
    module = typed_module(tmp_path / "contract.json")
    features = await ask_drivers("get", module.PaceV1.given(minutes=2.5), "7")
    assert (type(features), features.pace_out) == (module.PaceV1, 7002.5)
    everything = {"flag": True, "small": 1, "big": 2**40, "part": 0.5, "text": "a", "path": [1.5, 2.5]}
    assert (await ask_drivers("get", module.AllV1.given(**everything), "7")).all_out == 1.0
    assert {name: reads_of(feature_server)[-1][name] for name in everything} == {
        name: [value] for name, value in everything.items()
    }


async def test_a_class_without_its_request_data_is_refused_before_the_call(
    ask_drivers: Asker, feature_server: FakeFeatureServer, tmp_path: Path
) -> None:
    module = typed_module(tmp_path / "contract.json")
    with pytest.raises(TypeError, match=r"PaceV1 needs request data; ask for PaceV1.given\(minutes=…\)"):
        await ask_drivers("get", module.PaceV1, "7")
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'minutes'"):
        module.PaceV1.given()
    assert reads_of(feature_server) == []


async def test_a_bound_client_checks_the_contract_of_a_class(ask: Asker, module: Any, other: Any) -> None:
    bound = Asker(ask.client.bind(**module.ScoresV1.options()))
    assert await bound("check") == module.CONTRACT_HASH
    assert list(await bound("get_user_features", _USER)) == ["profile_fv__score", "usage_fv__score"]
    assert isinstance(await Asker(ask.client.bind(**other.ScoresV1.options())).failure("check"), FailedPrecondition)


def test_typed_features_travel() -> None:
    made = ChurnV1.of(UserFeatures.of(_USER, dict.fromkeys(_CHURN_V1, 1)))
    travelled = pickle.loads(pickle.dumps(made))  # noqa: S301  # of this test
    assert travelled == made
    assert hash(travelled) == hash(made)
    assert travelled != ChurnV1.of(UserFeatures.of(_USER, dict.fromkeys(_CHURN_V1, 2)))


def test_features_of_tests_are_typed_if_none_is_missing(module: Any) -> None:
    values: dict[str, Value] = {"months_active": 3, "monthly_fee": 1.5, "plan_stream_tv": True, "net_service": "DSL"}
    made = module.ChurnV1.of(UserFeatures.of(_USER, values))
    assert (made.months_active, made.plan_stream_tv) == (3, True)
    assert made == module.ChurnV1(features=made.features, **values)
    with pytest.raises(FailedPrecondition, match="the gateway has sha256:01"):
        module.ChurnV1.of(UserFeatures.of(_USER, values, contract_hash="sha256:01"))
    del values["net_service"]
    with pytest.raises(ValueError, match="ChurnV1 has the feature net_service, which these features do not have"):
        module.ChurnV1.of(UserFeatures.of(_USER, values))
