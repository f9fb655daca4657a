"""Lists in replies are tuples of Python values, and a batch of embeddings is no message too large."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, ClassVar

import grpc
import pytest
from streamflow.features.v1.feature_pb2 import (
    FEATURE_STATUS_PRESENT,
    BoolList,
    BytesList,
    DoubleList,
    Feature,
    FloatList,
    Int32List,
    Int64List,
    StringList,
    UnixTimestampList,
)
from streamflow.features.v1.feature_pb2 import UserFeatures as UserFeaturesMessage
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    BatchGetUserFeaturesResponse,
    UserResult,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import (
    UserFeatureServiceServicer,
    add_UserFeatureServiceServicer_to_server,
)
from streamflow_features import FeatureClient, UserFeatures
from streamflow_features._features import features_of_user

_EMBEDDING = [position / 7 for position in range(768)]


def _features(**fields: Any) -> UserFeatures:
    features = [Feature(name=field, status=FEATURE_STATUS_PRESENT, **{field: value}) for field, value in fields.items()]
    return features_of_user(UserFeaturesMessage(user_id="3413-BMNZE", features=features), contract_hash="sha256:00")


def test_a_list_is_a_tuple_of_python_values() -> None:
    features = _features(
        bool_list_value=BoolList(val=[True, False]),
        int32_list_value=Int32List(val=[-1]),
        int64_list_value=Int64List(val=[2**62, 0]),
        float_list_value=FloatList(val=[0.5, 0.1]),
        double_list_value=DoubleList(val=_EMBEDDING),
        string_list_value=StringList(val=["", "x"]),
        bytes_list_value=BytesList(val=[b"\x00"]),
        timestamp_list_value=UnixTimestampList(val=[1_709_164_800, -(2**63), -1]),
    )
    assert dict(features) == {
        "bool_list_value": (True, False),
        "int32_list_value": (-1,),
        "int64_list_value": (2**62, 0),
        "float_list_value": (0.5, 0.10000000149011612),
        "double_list_value": tuple(_EMBEDDING),
        "string_list_value": ("", "x"),
        "bytes_list_value": (b"\x00",),
        "timestamp_list_value": (
            datetime(2024, 2, 29, tzinfo=UTC),
            None,
            datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        ),
    }


def test_an_empty_list_is_an_empty_tuple_and_null_is_none() -> None:
    features = _features(float_list_value=FloatList(), timestamp_list_value=UnixTimestampList(), string_list_value=None)
    assert list(features.values()) == [(), (), None]


def test_a_line_has_the_first_elements_of_a_list_and_their_number() -> None:
    lines = str(
        _features(
            double_list_value=DoubleList(val=_EMBEDDING),
            int64_list_value=Int64List(val=[1, 2, 3, 4]),
            timestamp_list_value=UnixTimestampList(val=[1_709_164_800, -(2**63)]),
        )
    ).splitlines()
    assert lines[0].startswith(
        "double_list_value     [0.0, 0.14285714285714285, 0.2857142857142857, 0.42857142857142855, … 768 in all]  "
    )
    assert lines[1].startswith("int64_list_value      [1, 2, 3, 4]  ")
    assert lines[2].startswith("timestamp_list_value  [2024-02-29 00:00:00+00:00, null]  ")


class _Embeddings(UserFeatureServiceServicer):
    # Not called by these tests.
    GetUserFeatures: ClassVar[Any] = None
    StreamUserFeatures: ClassVar[Any] = None
    GetFeatureService: ClassVar[Any] = None
    ListFeatureServices: ClassVar[Any] = None

    def BatchGetUserFeatures(  # noqa: N802  # gRPC's name
        self, request: BatchGetUserFeaturesRequest, _context: Any
    ) -> BatchGetUserFeaturesResponse:
        feature = Feature(name="embedding", status=FEATURE_STATUS_PRESENT, double_list_value=DoubleList(val=_EMBEDDING))
        results = [
            UserResult(user_id=user_id, user_features=UserFeaturesMessage(user_id=user_id, features=[feature]))
            for user_id in request.user_ids
        ]
        return BatchGetUserFeaturesResponse(results=results)


@pytest.fixture
def target() -> Iterator[str]:
    running = grpc.server(ThreadPoolExecutor(1))
    add_UserFeatureServiceServicer_to_server(_Embeddings(), running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield f"127.0.0.1:{port}"
    running.stop(None).wait(10)


def test_a_batch_of_a_thousand_embeddings_arrives(target: str) -> None:
    with FeatureClient(target, timeout_s=20, follow_health=False) as client:
        batch = client.batch_get_user_features([str(number) for number in range(1000)])
    assert len(batch) == 1000
    last = batch[-1]
    assert isinstance(last, UserFeatures)
    assert last["embedding"] == tuple(_EMBEDDING)
