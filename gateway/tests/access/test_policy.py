"""What the policy lets an identity read, and what it says of the rest."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from access_fakes import TIMEOUT_S, USER, Place, Shown, becomes, unary, with_policy, with_tokens, write_policy
from feature_gateway import renewed
from feature_gateway.access.policy import policy_of
from feature_gateway.errors import StartError
from feature_gateway.server import running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer
from streamflow.features.feast.serving.ServingService_pb2 import FeatureList, GetOnlineFeaturesRequest
from streamflow.features.v1 import user_feature_service_pb2 as pb2
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_SHOWN = Shown("Bearer x")
_OK, _DENIED = "OK", "PERMISSION_DENIED"
_LIMITED = {"feature_services": ["scores_v1"], "feature_views": ["usage_fv"]}
_DENIED_TEXT = "These credentials may not read this."


def _service(name: str) -> dict[str, Any]:
    return {"feature_service": name}


def _references(*references: str) -> dict[str, Any]:
    return {"feature_references": pb2.FeatureReferences(references=references)}


# What exists and is not allowed is told as what does not exist.
_SELECTIONS: list[tuple[dict[str, Any], str]] = [
    (_service("scores_v1"), _OK),
    (_service("churn_v1"), _DENIED),
    (_service("nope"), _DENIED),
    ({}, _DENIED),
    (_references("usage_fv:score"), _OK),
    (_references("usage_fv:score", "profile_fv:score"), _DENIED),
    (_references("nope:score"), _DENIED),
    (_references("profile_fv:score:x"), _DENIED),
    (_references("usage_fv:nope"), "NOT_FOUND"),
]


def _feasts(selection: dict[str, Any]) -> bytes:
    request = GetOnlineFeaturesRequest(full_feature_names=True)
    if "feature_service" in selection:
        request.feature_service = selection["feature_service"]
    else:
        request.features.CopyFrom(FeatureList(val=selection["feature_references"].references))
    request.entities["user_id"].val.add(string_val=USER)
    return request.SerializeToString()


@pytest.fixture(params=["grpcio", "native"])
def gated(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Settings:
    with_engine = replace(settings, grpc_engine=request.param)
    return with_policy(with_tokens(with_engine, tmp_path, {"limited": "x"}), tmp_path, {"token:limited": _LIMITED})


@pytest.fixture
async def channel(gated: Settings) -> AsyncIterator[grpc.aio.Channel]:
    async with running_gateway(gated) as addresses, grpc.aio.insecure_channel(addresses.grpc) as opened:
        yield opened


async def _outcome(call: Any) -> tuple[str, str]:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    return _OK, ""


@pytest.mark.parametrize(("selection", "code"), _SELECTIONS)
async def test_an_identity_reads_what_its_entry_lists_and_does_not_learn_what_else_there_is(
    channel: grpc.aio.Channel, feature_server: FakeFeatureServer, selection: dict[str, Any], code: str
) -> None:
    stub: Any = UserFeatureServiceStub(channel)
    options: Any = {"timeout": TIMEOUT_S, "metadata": _SHOWN.metadata}
    one = stub.GetUserFeatures(pb2.GetUserFeaturesRequest(user_id=USER, **selection), **options)
    many = stub.BatchGetUserFeatures(pb2.BatchGetUserFeaturesRequest(user_ids=[USER], **selection), **options)
    outcomes = [await _outcome(one), await _outcome(many)]
    if selection:
        feasts: Any = channel.unary_unary("/feast.serving.ServingService/GetOnlineFeatures")
        # The second is read by the form of the first, if the first was answered.
        outcomes += [await _outcome(feasts(_feasts(selection), **options)) for _ in range(2)]
    assert [told for told, _ in outcomes] == [code] * len(outcomes)
    if code == _DENIED:
        assert {text for _, text in outcomes} == {_DENIED_TEXT}
        assert feature_server.requests == []


async def test_an_identity_sees_only_its_feature_services(channel: grpc.aio.Channel) -> None:
    stub: Any = UserFeatureServiceStub(channel)
    options: Any = {"timeout": TIMEOUT_S, "metadata": _SHOWN.metadata}
    listed = await stub.ListFeatureServices(pb2.ListFeatureServicesRequest(), **options)
    assert [service.name for service in listed.feature_services] == ["scores_v1"]
    for name, code in (("scores_v1", _OK), ("churn_v1", _DENIED), ("nope", _DENIED)):
        told, _ = await _outcome(stub.GetFeatureService(pb2.GetFeatureServiceRequest(name=name), **options))
        assert told == code


async def test_a_form_that_one_identity_has_used_is_refused_to_another(settings: Settings, tmp_path: Path) -> None:
    gated = with_policy(
        with_tokens(settings, tmp_path, {"one": "x", "other": "y"}),
        tmp_path,
        {"token:one": _LIMITED, "token:other": {"feature_services": ["churn_v1"]}},
    )
    async with running_gateway(gated) as addresses, grpc.aio.insecure_channel(addresses.grpc) as channel:
        call: Any = channel.unary_unary("/feast.serving.ServingService/GetOnlineFeatures")
        for selection in (_service("scores_v1"), _references("usage_fv:score")):
            for token, code in (("x", _OK), ("y", _DENIED)):
                metadata = (("authorization", f"Bearer {token}"),)
                told, _ = await _outcome(call(_feasts(selection), timeout=TIMEOUT_S, metadata=metadata))
                assert told == code


async def test_a_changed_policy_counts_and_a_wrong_one_is_refused_whole(
    gated: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(renewed, "POLL_INTERVAL_S", 0.01)
    policy = tmp_path / "policy.toml"
    async with running_gateway(gated) as addresses:
        place = Place(addresses)
        async with place.channel(_SHOWN) as channel:

            async def ask() -> str:
                return await unary(channel, "GetUserFeatures", _SHOWN)

            assert await ask() == _DENIED
            write_policy(policy, {"token:limited": {"feature_services": ["churn_v1"]}})
            await becomes(_OK, ask)
            write_policy(policy, {"token:limited": {"feature_services": ["scores_v1"], "calls_per_s": -1}})
            await becomes("1.0", lambda: _metric(place, "gateway_access_refused"))
            assert await ask() == _OK
            assert "GATEWAY_POLICY_FILE" in caplog.text
            assert "calls_per_s of 'token:limited' is not a number above 0" in caplog.text
            write_policy(policy, {"jwt:limited": {"feature_services": ["churn_v1"]}})
            await becomes(_DENIED, ask)
            assert await _metric(place, "gateway_access_refused") == "0.0"


async def _metric(place: Place, name: str) -> str:
    (line,) = [line for line in (await place.http_text("/metrics")).splitlines() if line.startswith(f"{name} ")]
    return line.split()[1]


_WRONG = {
    "": "it has no identities",
    "identities = 1": "it has no identities",
    "[identities.token]": "'token' is no identity",
    '[identities."password:x"]': "'password:x' is no identity",
    '[identities."token:"]': "'token:' is no identity",
    "[identities]\n'*' = 1": "'*' is not a table",
    "[other]": "it has 'other', and takes identities alone",
    "[identities.'*']\nfeature_service = ['a']": "'*' has 'feature_service'; it takes feature_services, feature_views",
    "[identities.'*']\nfeature_services = 'a'": "feature_services of '*' is not a list of names",
    "[identities.'*']\nfeature_services = ['']": "feature_services of '*' is not a list of names",
    "[identities.'*']\nfeature_views = ['*', 'a']": "feature_views of '*' has \"*\" beside other names",
    "[identities.'*']\nusers_per_s = 0": "users_per_s of '*' is not a number above 0",
    "[identities.'*']\nusers_per_s = inf": "users_per_s of '*' is not a number above 0",
    "[identities.'*']\ncalls_per_s = true": "calls_per_s of '*' is not a number above 0",
    "[identities": "",
    "\xff": "",
}


@pytest.mark.parametrize("content", _WRONG)
async def test_a_wrong_policy_says_what_is_wrong_and_keeps_the_gateway_from_starting(
    gated: Settings, tmp_path: Path, content: str
) -> None:
    (tmp_path / "policy.toml").write_text(content, encoding="latin-1")
    with pytest.raises(StartError) as raised:
        async with running_gateway(gated):
            pass
    assert str(raised.value).startswith(f"GATEWAY_POLICY_FILE: {tmp_path / 'policy.toml'}: ")
    assert _WRONG[content] in str(raised.value)


def test_the_entry_that_fits_most_closely_counts_alone() -> None:
    policy = policy_of(
        b'[identities."token:a"]\ncalls_per_s = 1\n[identities."token:*"]\ncalls_per_s = 2\n'
        b'[identities."*"]\ncalls_per_s = 3\nfeature_services = ["*"]\n'
    )
    identities = ("token:a", "token:b", "jwt:a", "jwt:token:a")
    assert [policy.rights_of(identity).calls_per_s for identity in identities] == [1, 2, 3, 3]
    assert policy.rights_of("token:a").feature_services == frozenset()
    assert policy.rights_of("jwt:a").feature_services is None
