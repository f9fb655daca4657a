"""Types of features that no user has a value of: the contract says them, asked once, and they never cost an answer."""

from collections.abc import Iterator
from typing import Any, ClassVar

import grpc
import pytest
from both_faces import asking
from grpc_servers import served
from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_NULL_VALUE, Feature
from streamflow.features.v1.feature_pb2 import UserFeatures as UserFeaturesMessage
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    BatchGetUserFeaturesResponse,
    FeatureDescription,
    FeatureService,
    ListFeatureServicesRequest,
    ListFeatureServicesResponse,
    UserResult,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceServicer


class Gateways(UserFeatureServiceServicer):
    """Answer nulls by the contract "now", and descriptions by some contracts in turn; none is an outage."""

    # Not called by these tests.
    GetUserFeatures: ClassVar[Any] = None
    StreamUserFeatures: ClassVar[Any] = None
    GetFeatureService: ClassVar[Any] = None

    def __init__(self, described: Iterator[str | None], *, dtypes: dict[str, str]) -> None:
        self.descriptions = 0
        self._described = described
        self._dtypes = dtypes

    def BatchGetUserFeatures(  # noqa: N802  # gRPC's name
        self, request: BatchGetUserFeaturesRequest, _context: Any
    ) -> BatchGetUserFeaturesResponse:
        feature = Feature(name="x", status=FEATURE_STATUS_NULL_VALUE)
        users = [UserFeaturesMessage(user_id=user_id, features=[feature]) for user_id in request.user_ids]
        return BatchGetUserFeaturesResponse(
            results=[UserResult(user_id=user.user_id, user_features=user) for user in users], contract_hash="now"
        )

    def ListFeatureServices(  # noqa: N802  # gRPC's name
        self, _request: ListFeatureServicesRequest, context: Any
    ) -> ListFeatureServicesResponse:
        self.descriptions += 1
        contract = next(self._described)
        if contract is None:
            context.abort(grpc.StatusCode.INTERNAL, "out")
            raise AssertionError
        services = [
            FeatureService(name=name, features=[FeatureDescription(name="x", feature_reference="a_fv:x", dtype=dtype)])
            for name, dtype in self._dtypes.items()
        ]
        return ListFeatureServicesResponse(feature_services=services, contract_hash=contract)


@pytest.mark.parametrize(
    ("contracts", "descriptions", "dtype"),
    [
        (["now"], 1, "Int32"),
        (["before", "now"], 2, "Int32"),
        # Three times for each of two calls.
        (["before"] * 6, 6, None),
        ([None, None], 2, None),
    ],
    ids=str,
)
async def test_the_description_of_the_batchs_own_contract_is_asked_for(  # a table
    face: str, contracts: list[str | None], descriptions: int, dtype: str | None
) -> None:
    gateways = Gateways(iter(contracts), dtypes={"a_v1": "Int32"})
    with served(gateways) as target:
        async with asking(face, target, follow_health=False) as ask:
            batches = [await ask("get_users_features", ["1", "2"], feature_service="a_v1") for _ in range(2)]
    assert [dict(user) for batch in batches for user in batch] == [{"x": None}] * 4
    assert batches[1].dtypes == {"x": dtype}
    assert gateways.descriptions == descriptions


@pytest.mark.parametrize(
    ("options", "dtypes", "dtype"),
    [
        ({"feature_service": "b_v1"}, {"a_v1": "Int32", "b_v1": "Int64"}, "Int64"),
        ({"features": ["a_fv:x"]}, {"a_v1": "Int32"}, "Int32"),
        ({"features": ["b_fv:x"]}, {"a_v1": "Int32"}, None),
        # The default feature service is one of those that have these features.
        ({}, {"a_v1": "Int32", "b_v1": "Int32"}, "Int32"),
        ({}, {"a_v1": "Int32", "b_v1": "Int64"}, None),
    ],
    ids=str,
)
async def test_the_type_is_that_of_what_was_selected(  # a table
    face: str, options: Any, dtypes: dict[str, str], dtype: str | None
) -> None:
    gateways = Gateways(iter(["now"] * 2), dtypes=dtypes)
    with served(gateways) as target:
        async with asking(face, target, follow_health=False) as ask:
            batches = [await ask("get_users_features", ["1"], **options) for _ in range(2)]
    assert [batch.dtypes for batch in batches] == [{"x": dtype}] * 2
    assert gateways.descriptions == 1


async def test_a_batch_call_asks_for_no_type_and_knows_what_was_learned(face: str) -> None:
    gateways = Gateways(iter(["now"]), dtypes={"a_v1": "Int32"})
    with served(gateways) as target:
        async with asking(face, target, follow_health=False) as ask:
            before = await ask("batch_get_user_features", ["1"], feature_service="a_v1")
            assert gateways.descriptions == 0
            await ask("get_users_features", ["1"], feature_service="a_v1")
            after = await ask("batch_get_user_features", ["1"], feature_service="a_v1")
    assert [before.dtypes, after.dtypes] == [{"x": None}, {"x": "Int32"}]
    assert gateways.descriptions == 1
