"""What a test orders of `streamflow_features.testing`: users, errors and latency; the same for both clients."""

import asyncio
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from both_faces import Asker, all_answers, asking
from streamflow_features import (
    DeadlineExceeded,
    ErrorReason,
    FailedPrecondition,
    FeatureClient,
    FeatureServingError,
    FeatureStatus,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Question,
    ResourceExhausted,
    StalenessPolicy,
    Unavailable,
    UserFeatures,
)
from streamflow_features.testing import FakeAsyncFeatureClient, FakeFeatureClient, FeatureServer

_CONTRACT = Path(__file__).parents[3] / "feature_repo" / "contract.json"
_USER, _OTHER = "3413-BMNZE", "9237-HQITU"
_DOWN = Unavailable("down", reason=ErrorReason.UPSTREAM_UNAVAILABLE, metadata={"a": "b"}, retry_after_s=0.5)


@asynccontextmanager
async def _fake(face: str, users: Any = None, **options: Any) -> AsyncIterator[Asker]:
    asker = Asker((FakeFeatureClient if face == "sync" else FakeAsyncFeatureClient)(users, **options))
    try:
        yield asker
    finally:
        await asker.close()


def _server(ask: Asker) -> FeatureServer:
    assert isinstance(ask.client, FakeFeatureClient | FakeAsyncFeatureClient)
    return ask.client.server


async def test_features_that_are_given_are_those_of_any_feature_service(face: str) -> None:
    async with _fake(face, {_USER: {"monthly_fee": 29.85}, _OTHER: {"monthly_fee": 30, "plan": None}}) as ask:
        for options in ({}, {"feature_service": "churn_v1"}, {"features": ["any_fv:monthly_fee", "user_fv:plan"]}):
            assert dict(await ask("get_user_features", _USER, **options)) == {"monthly_fee": 29.85, "plan": None}
        (service,) = await ask("list_feature_services")
        assert [feature.dtype for feature in service.features] == ["Float64", "String"]
        assert isinstance(await ask.failure("get_user_features", _USER, features=["any_fv:fee"]), NotFound)


async def test_variables_of_a_real_connection_do_not_count(face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TARGET", "127.0.0.1:1"), ("TLS", "1"), ("CA_FILE", "/none"), ("TIMEOUT_S", "0.000001")):
        monkeypatch.setenv(f"STREAMFLOW_FEATURES_{name}", value)
    async with _fake(face, {_USER: {"fee": 1}}) as ask:
        assert (await ask("get_user_features", _USER))["fee"] == 1


async def test_a_value_can_be_computed_from_any_request_data(face: str) -> None:
    async with _fake(face, {_USER: {"pace": lambda data: data.get("minutes", 0) * 2.5}}) as ask:
        assert (await ask("get_user_features", _USER))["pace"] == 0
        assert (await ask("get_user_features", _USER, request_data={"minutes": 2}))["pace"] == 5.0
        failing, other = Question(_USER, request_data={"minutes": "two"}), Question(_USER)
        results = await all_answers(ask, failing, other)
        assert results[failing].reason is ErrorReason.TRANSFORMATION_FAILED
        assert results[other]["pace"] == 0


async def test_an_error_in_place_of_features_is_what_calls_for_the_user_get(face: str) -> None:
    async with _fake(face, {_USER: _DOWN, _OTHER: {"fee": 1}}) as ask:
        assert await ask.failure("get_user_features", _USER) == _DOWN
        batch = await ask("get_users_features", [_OTHER, _USER])
        assert (batch[0]["fee"], batch[1]) == (1, _DOWN)
        question = Question(_USER)
        assert await all_answers(ask, question) == {question: _DOWN}
        assert isinstance(await ask.failure("get_online_features", ["a_fv:fee"], [{"user_id": _USER}]), Unavailable)
        _server(ask).users[_USER] = {"fee": 2}
        assert (await ask("get_user_features", _USER))["fee"] == 2
        del _server(ask).users[_USER]
        assert not (await ask("get_user_features", _USER)).user_known


@pytest.mark.parametrize(
    "kind", [cls for cls in FeatureServingError.__subclasses__() if "streamflow" in cls.__module__]
)
async def test_an_error_of_each_class_arrives_as_it_was_ordered(face: str, kind: type[FeatureServingError]) -> None:
    ordered = kind("as ordered", reason=ErrorReason.OVERLOADED, retry_after_s=0.25)
    async with _fake(face, {_USER: {"fee": 1}}) as ask:
        _server(ask).fail_next(ordered, calls=2)
        assert await ask.failure("get_user_features", _USER) == ordered
        assert await ask.failure("batch_get_user_features", [_USER]) == ordered
        assert (await ask("get_user_features", _USER))["fee"] == 1


async def test_the_next_question_of_a_stream_fails_alone(face: str) -> None:
    async with _fake(face, {_USER: {"fee": 1}}) as ask:
        _server(ask).fail_next(ResourceExhausted("busy"))
        results = await all_answers(ask, *(Question(_USER) for _ in range(3)))
        assert sorted(type(result).__name__ for result in results.values()) == [
            "ResourceExhausted",
            "UserFeatures",
            "UserFeatures",
        ]


async def test_a_call_that_takes_longer_than_its_deadline_fails_at_its_deadline(face: str) -> None:
    async with _fake(face, {_USER: {"fee": 1}, _OTHER: {"fee": 2}}) as ask:
        _server(ask).latencies_s[_USER] = 3600
        assert isinstance(await ask.failure("get_user_features", _USER, timeout_s=0.05), DeadlineExceeded)
        assert isinstance(
            await ask.failure("batch_get_user_features", [_OTHER, _USER], timeout_s=0.05), DeadlineExceeded
        )
        slow, quick = Question(_USER, timeout_s=0.05), Question(_OTHER)
        results = await all_answers(ask, slow, quick)
        assert isinstance(results[slow], DeadlineExceeded)
        assert results[quick]["fee"] == 2


async def test_a_call_takes_as_long_as_it_is_told_to(face: str) -> None:
    async with _fake(face, {_USER: {"fee": 1}}, latency_s=0.05) as ask:
        features = await ask("get_user_features", _USER, include_serving_info=True)
        assert features.serving_info.gateway_time_s >= 0.05
        _server(ask).delay_next(0.1)
        features = await ask("get_user_features", _USER, include_serving_info=True)
        assert features.serving_info.gateway_time_s >= 0.1


async def test_features_with_statuses_and_timestamps_are_served_with_them(face: str) -> None:
    stamps = {"monthly_fee": datetime(2024, 2, 29, tzinfo=UTC)}
    given = UserFeatures.of(
        _USER,
        {"monthly_fee": 29.85, "months_active": None, "net_service": "DSL"},
        statuses={"net_service": FeatureStatus.OUTSIDE_MAX_AGE, "months_active": FeatureStatus.NOT_FOUND},
        event_timestamps=stamps,
        stale_age_s=2.5,
    )
    async with _fake(face, {_USER: given}) as ask:
        features = await ask("get_user_features", _USER)
        assert features.statuses["net_service"] is FeatureStatus.OUTSIDE_MAX_AGE
        assert features.event_timestamps["monthly_fee"] == stamps["monthly_fee"]
        assert features.stale_age_s == 2.5
        omitted = await ask("get_user_features", _USER, staleness_policy=StalenessPolicy.OMIT, max_age_s=1)
        assert set(omitted.values()) == {None}
        refused = await ask.failure("get_user_features", _USER, staleness_policy=StalenessPolicy.FAIL)
        assert (type(refused), list(refused.metadata)) == (FailedPrecondition, ["net_service"])
        _server(ask).users[_OTHER] = UserFeatures.of(_OTHER, {"monthly_fee": None}, user_known=False)
        assert not (await ask("get_user_features", _OTHER)).user_known


async def test_features_that_came_from_a_gateway_are_served_as_they_were(face: str) -> None:
    async with _fake(face, {_USER: {"fee": 1, "tags": ["a"], "at": datetime(2024, 1, 1, tzinfo=UTC)}}) as ask:
        recorded = await ask("get_user_features", _USER)
        _server(ask).users[_USER] = recorded
        assert await ask("get_user_features", _USER) == recorded


async def test_a_contract_says_services_types_and_who_is_a_user(face: str) -> None:
    def over_average(data: dict[str, Any]) -> float:
        return float(data["session_mins"]) / 20

    users = {
        _USER: {"months_active": np.int64(3), "subs_profile_fv:monthly_fee": 30, "session_over_avg_7d": over_average}
    }
    async with _fake(face, users, contract=_CONTRACT) as ask:
        features = await ask("get_user_features", _USER, feature_service="churn_v1")
        assert (features["months_active"], features["monthly_fee"], features["watch_hours_30d"]) == (3, 30.0, None)
        assert features.statuses["net_service"] is FeatureStatus.NULL_VALUE
        assert features.statuses["watch_hours_30d"] is FeatureStatus.NOT_FOUND
        assert features.contract_hash in _CONTRACT.read_text()
        options = {"feature_service": "session_v1", "request_data": {"session_mins": 50}}
        assert (await ask("get_user_features", _USER, **options))["session_over_avg_7d"] == 2.5
        assert isinstance(await ask.failure("get_user_features", "nobody", feature_service="churn_v1"), InvalidArgument)
        assert isinstance(await ask.failure("get_user_features", _USER, feature_service="nope"), NotFound)


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        ({"monthly_fee": "much"}, TypeError, "subs_profile_fv:monthly_fee can't be 'much'"),
        ({"months_active": 2**63}, ValueError, "months_active can't be"),
        ({"nope": 1}, ValueError, "not one feature 'nope': the contract has none"),
    ],
)
def test_what_a_contract_does_not_have_can_not_be_given(features: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        FeatureServer({_USER: features}, contract=_CONTRACT)


def test_values_that_are_not_of_one_feature_can_not_be_given() -> None:
    for value, words in (
        ("x", "Float64 and String"),
        (object(), "no values of type object"),
        ([1, "x"], "of one feature"),
    ):
        with pytest.raises(TypeError, match=words):
            FeatureServer({_USER: {"fee": 1.5}, _OTHER: {"fee": value}})
    with pytest.raises(ValueError, match="version 2 is needed"):
        FeatureServer(contract={"version": 1})
    with pytest.raises(ValueError, match="no entity 'driver'; give user_entity one of user"):
        FeatureServer(contract=_CONTRACT, user_entity="driver")
    with pytest.raises(NotFound):
        FeatureServer(contract=_CONTRACT, default_feature_service="nope")
    with pytest.raises(RuntimeError, match="not started"):
        _ = FeatureServer().target


async def test_any_client_can_call_the_server_and_sees_it_healthy(face: str) -> None:
    with FeatureServer({_USER: {"fee": 1}}) as server:
        # It follows gRPC's health service, as by default.
        async with asking(face, server.target) as ask:
            assert (await ask("get_user_features", _USER))["fee"] == 1
            server.users[_USER] = PermissionDenied("no")
            assert isinstance(await ask.failure("get_user_features", _USER), PermissionDenied)
        channel = grpc.insecure_channel(server.target)
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert await asyncio.to_thread(check, b"", timeout=10) == b"\x08\x01"
        channel.close()


def test_a_server_that_stops_ends_the_calls_that_wait() -> None:
    server = FeatureServer({_USER: {"fee": 1}}, latency_s=3600).start()
    with FeatureClient(server.target, timeout_s=60, follow_health=False) as client:
        future = client._opened().stub.GetUserFeatures.future(Question(_USER)._request, timeout=60)
        server.stop()
        with pytest.raises(grpc.RpcError):
            future.result(timeout=20)


def test_times_are_kept_to_the_second_as_feast_stores_them() -> None:
    at = datetime(2024, 2, 29, 1, 2, 3, 456, tzinfo=UTC)
    with FakeFeatureClient({_USER: {"at": at, "times": [at, None]}}) as client:
        features = client.get_user_features(_USER)
    whole = at - timedelta(microseconds=456)
    assert dict(features) == {"at": whole, "times": (whole, None)}


async def test_the_fixture_is_a_server_that_the_options_of_the_test_make(tmp_path: Path) -> None:
    (tmp_path / "test_model.py").write_text(
        """
import pytest
from streamflow_features import FeatureClient

pytest_plugins = ["streamflow_features.testing.pytest_plugin"]

@pytest.fixture
def feature_server_options():
    return {"contract_hash": "sha256:01"}

def test_features(feature_server):
    feature_server.users["3413-BMNZE"] = {"monthly_fee": 29.85}
    with FeatureClient(feature_server.target, timeout_s=20) as client:
        assert client.get_user_features("3413-BMNZE")["monthly_fee"] == 29.85
        assert client.check() == "sha256:01"
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(tmp_path), "test_model.py"]
    run = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=PIPE, stderr=STDOUT)
    output, _ = await asyncio.wait_for(run.communicate(), 120)
    assert run.returncode == 0, output.decode()


def test_neither_client_nor_fakes_import_pytest() -> None:
    program = "import sys, streamflow_features.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
