"""The client against a real gRPC server that answers as a test tells it to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_servers import served
from grpc_status import rpc_status
from streamflow.features.v1.feature_pb2 import (
    FEATURE_STATUS_NOT_FOUND,
    FEATURE_STATUS_NULL_VALUE,
    FEATURE_STATUS_OUTSIDE_MAX_AGE,
    FEATURE_STATUS_PRESENT,
    Feature,
    UserFeatures,
)
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    BatchGetUserFeaturesResponse,
    GetUserFeaturesRequest,
    GetUserFeaturesResponse,
    UserResult,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import (
    UserFeatureServiceServicer,
)
from streamflow_features import (
    Cancelled,
    DeadlineExceeded,
    FeatureClient,
    FeatureServingError,
    FeatureStatus,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)

_FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)


def _response() -> GetUserFeaturesResponse:
    features = [
        Feature(name="a_bool", status=FEATURE_STATUS_PRESENT, bool_value=False),
        Feature(name="an_int32", status=FEATURE_STATUS_PRESENT, int32_value=-1),
        Feature(name="an_int64", status=FEATURE_STATUS_PRESENT, int64_value=2**62),
        Feature(name="a_float", status=FEATURE_STATUS_PRESENT, float_value=0.5),
        Feature(name="a_double", status=FEATURE_STATUS_OUTSIDE_MAX_AGE, double_value=29.85),
        Feature(name="a_string", status=FEATURE_STATUS_PRESENT, string_value=""),
        Feature(name="some_bytes", status=FEATURE_STATUS_PRESENT, bytes_value=b"\x00"),
        Feature(name="a_timestamp", status=FEATURE_STATUS_PRESENT),
        Feature(name="a_null", status=FEATURE_STATUS_NULL_VALUE),
    ]
    features[7].timestamp_value.FromDatetime(_FEBRUARY)
    for feature in features:
        feature.event_timestamp.FromDatetime(_FEBRUARY)
    features.append(Feature(name="absent", status=FEATURE_STATUS_NOT_FOUND))
    user = UserFeatures(user_id="3413-BMNZE", features=features, user_known=True)
    return GetUserFeaturesResponse(user_features=user, contract_hash="sha256:00")


@dataclass
class Server(UserFeatureServiceServicer):
    """Answers, or fails, and remembers what it was asked."""

    # Not called by these tests.
    StreamUserFeatures: ClassVar[Any] = None
    GetFeatureService: ClassVar[Any] = None
    ListFeatureServices: ClassVar[Any] = None

    failure: status_pb2.Status | None = None
    failures_to_come: int | None = None
    """How many calls fail; None for all."""
    requests: list[GetUserFeaturesRequest] = field(default_factory=list)
    remaining_s: float | None = None
    target: str = ""

    def GetUserFeatures(self, request: GetUserFeaturesRequest, context: Any) -> GetUserFeaturesResponse:  # noqa: N802
        self.requests.append(request)
        self.remaining_s = context.time_remaining()
        if self.failure is not None and (self.failures_to_come is None or len(self.requests) <= self.failures_to_come):
            context.abort_with_status(rpc_status.to_status(self.failure))
        return _response()

    def BatchGetUserFeatures(  # noqa: N802
        self, request: BatchGetUserFeaturesRequest, context: Any
    ) -> BatchGetUserFeaturesResponse:
        del context
        one = _response()
        results = [UserResult(user_id=user_id, user_features=one.user_features) for user_id in request.user_ids]
        return BatchGetUserFeaturesResponse(results=results, contract_hash=one.contract_hash)


@pytest.fixture
def server() -> Iterator[Server]:
    servicer = Server()
    with served(servicer) as servicer.target:
        yield servicer


@pytest.fixture
def client(server: Server) -> Iterator[FeatureClient]:
    with FeatureClient(server.target, timeout_s=10) as running:
        yield running


def test_the_result_is_a_mapping_of_names_to_python_values(client: FeatureClient) -> None:
    features = client.get_user_features("3413-BMNZE")
    assert dict(features) == {
        "a_bool": False,
        "an_int32": -1,
        "an_int64": 2**62,
        "a_float": 0.5,
        "a_double": 29.85,
        "a_string": "",
        "some_bytes": b"\x00",
        "a_timestamp": _FEBRUARY,
        "a_null": None,
        "absent": None,
    }
    assert list(features)[:2] == ["a_bool", "an_int32"]
    assert len(features) == 10
    assert "a_double" in features
    assert features.get("nothing") is None
    with pytest.raises(KeyError):
        features["nothing"]


def test_statuses_and_event_timestamps_have_the_same_names(client: FeatureClient) -> None:
    features = client.get_user_features("3413-BMNZE")
    assert list(features.statuses) == list(features.event_timestamps) == list(features)
    assert features.statuses["a_double"] is FeatureStatus.OUTSIDE_MAX_AGE
    assert features.statuses["a_null"] is FeatureStatus.NULL_VALUE
    assert features.statuses["absent"] is FeatureStatus.NOT_FOUND
    assert features.event_timestamps["a_null"] == _FEBRUARY
    assert features.event_timestamps["absent"] is None
    assert (features.user_id, features.user_known, features.contract_hash) == ("3413-BMNZE", True, "sha256:00")
    assert repr(features).startswith("UserFeatures('3413-BMNZE', {'a_bool': False, ")


def test_nothing_selected_leaves_the_choice_to_the_gateway(client: FeatureClient, server: Server) -> None:
    client.get_user_features("3413-BMNZE")
    assert server.requests[0].WhichOneof("selection") is None


def test_a_feature_service_or_references_are_asked_for(client: FeatureClient, server: Server) -> None:
    client.get_user_features("3413-BMNZE", feature_service="churn_v1")
    client.get_user_features("3413-BMNZE", features=["a_fv:x", "b_fv:y"])
    client.get_user_features("3413-BMNZE", features=[])
    assert server.requests[0].feature_service == "churn_v1"
    assert list(server.requests[1].feature_references.references) == ["a_fv:x", "b_fv:y"]
    # An empty list is sent as such, for the gateway to refuse: it is not "everything".
    assert server.requests[2].WhichOneof("selection") == "feature_references"


def test_a_service_and_references_together_are_refused(client: FeatureClient) -> None:
    with pytest.raises(ValueError, match="not both"):
        client.get_user_features("3413-BMNZE", feature_service="churn_v1", features=["a_fv:x"])


def test_every_call_has_a_deadline(client: FeatureClient, server: Server) -> None:
    client.get_user_features("3413-BMNZE")
    assert server.remaining_s is not None
    assert 5 < server.remaining_s <= 10.5
    client.get_user_features("3413-BMNZE", timeout_s=100)
    # gRPC sends a timeout in few digits, rounded up.
    assert 50 < server.remaining_s <= 105


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (code_pb2.INVALID_ARGUMENT, InvalidArgument),
        (code_pb2.NOT_FOUND, NotFound),
        (code_pb2.UNAVAILABLE, Unavailable),
        (code_pb2.DEADLINE_EXCEEDED, DeadlineExceeded),
        (code_pb2.UNAUTHENTICATED, Unauthenticated),
        (code_pb2.PERMISSION_DENIED, PermissionDenied),
        (code_pb2.INTERNAL, Internal),
        (code_pb2.UNIMPLEMENTED, Unimplemented),
        (code_pb2.CANCELLED, Cancelled),
        (code_pb2.ABORTED, FeatureServingError),
    ],
)
def test_a_failed_call_raises_by_its_code_with_reason_and_metadata(
    client: FeatureClient, server: Server, code: code_pb2.Code, error: type[FeatureServingError]
) -> None:
    info = error_details_pb2.ErrorInfo(reason="ERROR_REASON_X", domain="d", metadata={"feature_service": "nope"})
    packed = AnyMessage()
    packed.Pack(info)
    server.failure = status_pb2.Status(code=code, message="what to do", details=[packed])
    with pytest.raises(FeatureServingError) as raised:
        client.get_user_features("3413-BMNZE")
    assert type(raised.value) is error
    assert str(raised.value) == "what to do"
    assert raised.value.code.value[0] == code
    assert raised.value.reason == "ERROR_REASON_X"
    assert raised.value.metadata == {"feature_service": "nope"}


@pytest.mark.parametrize("code", [code_pb2.UNAVAILABLE, code_pb2.CANCELLED, code_pb2.UNKNOWN])
def test_a_call_that_a_restart_ended_is_sent_again(client: FeatureClient, server: Server, code: code_pb2.Code) -> None:
    server.failure, server.failures_to_come = status_pb2.Status(code=code), 1
    assert client.get_user_features("3413-BMNZE").user_known
    assert len(server.requests) == 2


def test_a_gateway_that_is_not_there_is_unavailable() -> None:
    with FeatureClient("127.0.0.1:1", timeout_s=5) as client, pytest.raises(Unavailable) as raised:
        client.get_user_features("3413-BMNZE")
    assert raised.value.reason is None


def test_one_client_serves_many_threads(client: FeatureClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get_user_features("3413-BMNZE")["a_double"], range(100)))
    assert answers == [29.85] * 100


def test_lines_are_one_a_feature(client: FeatureClient) -> None:
    lines = str(client.get_user_features("3413-BMNZE")).splitlines()
    assert len(lines) == 10
    assert lines[4].split() == ["a_double", "29.85", "OUTSIDE_MAX_AGE", "2024-02-29T00:00:00+00:00"]
    assert lines[9].split() == ["absent", "null", "NOT_FOUND", "-"]
