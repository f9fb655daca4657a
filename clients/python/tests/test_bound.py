"""Bound clients: options that all calls share, and the check that a gateway answers by the bound contract."""

from contextlib import AsyncExitStack

import pytest
from asked_server import CONTRACT_HASH, AskedServer
from streamflow_features import AsyncFeatureClient, ErrorReason, FailedPrecondition, FeatureClient, QueryOptions

_USER = "3413-BMNZE"
_TIMEOUT_S = 20


def test_a_bound_client_asks_as_it_is_bound(asked_server: AskedServer, asked_target: str) -> None:
    with FeatureClient(asked_target, timeout_s=_TIMEOUT_S) as client:
        bound = client.bind(feature_service="churn_v1", contract_hash=CONTRACT_HASH)
        bound.get_user_features(_USER)
        bound.get_user_features(_USER, features=["a_fv:x"])
        bound.bind(contract_hash="sha256:01").batch_get_user_features([_USER])
        client.get_user_features(_USER)
    asked = [(request.feature_service, request.contract_hash) for request in asked_server.requests]
    assert asked == [("churn_v1", CONTRACT_HASH), ("", CONTRACT_HASH), ("churn_v1", "sha256:01"), ("", "")]
    assert list(asked_server.requests[1].feature_references.references) == ["a_fv:x"]


async def test_a_bound_client_of_asyncio_asks_as_it_is_bound(asked_server: AskedServer, asked_target: str) -> None:
    async with AsyncFeatureClient(asked_target, timeout_s=_TIMEOUT_S) as client:
        await client.bind(feature_service="churn_v1").get_user_features(_USER)
        await client.bind(feature_service="churn_v1").batch_get_user_features([_USER])
    assert [request.feature_service for request in asked_server.requests] == ["churn_v1", "churn_v1"]


async def test_a_check_says_whether_a_gateway_answers_by_the_contract(asked_target: str) -> None:
    async with AsyncExitStack() as stack:
        client = stack.enter_context(FeatureClient(asked_target, timeout_s=_TIMEOUT_S))
        other = await stack.enter_async_context(AsyncFeatureClient(asked_target, timeout_s=_TIMEOUT_S))
        for service in (None, "churn_v1"):
            right = QueryOptions(feature_service=service, contract_hash=CONTRACT_HASH)
            wrong = QueryOptions(feature_service=service, contract_hash="sha256:01")
            assert client.bind(**right).check() == CONTRACT_HASH
            assert await other.bind(**right).check() == CONTRACT_HASH
            with pytest.raises(FailedPrecondition, match="bound to sha256:01") as raised:
                client.bind(**wrong).check()
            assert raised.value.reason is ErrorReason.CONTRACT_MISMATCH
            with pytest.raises(FailedPrecondition, match="bound to sha256:01"):
                await other.bind(**wrong).check()


def test_what_can_not_be_asked_can_not_be_bound(asked_target: str) -> None:
    with FeatureClient(asked_target) as client, pytest.raises(ValueError, match="not both"):
        client.bind(feature_service="churn_v1", features=["a_fv:x"])
