"""Wrong request data are refused over gRPC and HTTP, before any hop."""

from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from gateway_fakes import FakeFeatureServer, Gateway, error_details
from request_data_fakes import ALL, PACE, minutes_of, over_http, reads_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.feature_pb2 import DoubleList, StringList
from streamflow.features.v1.request_data_pb2 import RequestData, RequestValue
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
    StreamUserFeaturesRequest,
)

_BOUND_S = 20


@dataclass(frozen=True)
class Wrong:
    """Request data for `pace_v1`, or for `all_v1` beside values that are right, that are wrong."""

    reason: str
    name: str
    sent: dict[str, RequestValue]
    written: tuple[str, ...]
    says: str
    beside: bool = False


_FLOAT64 = "Float64, a finite number"
_RIGHT = {
    "flag": (RequestValue(bool_value=True), ["true"]),
    "small": (RequestValue(int32_value=1), ["1"]),
    "big": (RequestValue(int64_value=1), ["1"]),
    "part": (RequestValue(float_value=1), ["1"]),
    "text": (RequestValue(string_value="x"), ["x"]),
    "path": (RequestValue(double_list_value=DoubleList(val=[1])), ["1"]),
}


def _of_all(name: str, sent: RequestValue, *written: str, says: str = "") -> Any:
    return pytest.param(Wrong("INVALID", name, {name: sent}, written, says, beside=True), id=f"{name} {written}")


WRONG = [
    pytest.param(Wrong("MISSING", "minutes", {}, (), f"is missing; it takes {_FLOAT64}."), id="missing"),
    pytest.param(
        Wrong("UNKNOWN", "hours", {"hours": RequestValue(int32_value=1)}, ("1",), "on driver_id, minutes."),
        id="unknown",
    ),
    pytest.param(
        Wrong("INVALID", "minutes", {"minutes": RequestValue(string_value="SECRET")}, ("SECRET",), _FLOAT64), id="text"
    ),
    pytest.param(Wrong("INVALID", "minutes", {"minutes": RequestValue()}, ("",), _FLOAT64), id="nothing"),
    pytest.param(Wrong("INVALID", "minutes", minutes_of(float("nan")), ("nan",), _FLOAT64), id="no number"),
    pytest.param(Wrong("INVALID", "minutes", minutes_of(float("inf")), ("1e999",), _FLOAT64), id="infinity"),
    _of_all("flag", RequestValue(int32_value=1), "1", says="Bool, true or false"),
    _of_all("flag", RequestValue(string_value="True"), "True"),
    _of_all("small", RequestValue(int64_value=2**31), "2147483648", says="from -2147483648 to 2147483647"),
    _of_all("small", RequestValue(double_value=1.0), "1.0"),
    _of_all("big", RequestValue(bool_value=True), "9223372036854775808"),
    _of_all("big", RequestValue(string_value="1"), "1_0"),
    _of_all("part", RequestValue(double_value=1e39), "1e39", says="Float32"),
    _of_all("path", RequestValue(double_list_value=DoubleList(val=[1, float("nan")])), "1", "x", says="List(Float64)"),
    _of_all("path", RequestValue(string_list_value=StringList(val=["1"])), "one", says="one or more elements"),
]


async def _refused_over_grpc(gateway: Gateway, question: GetUserFeaturesRequest, wrong: Wrong) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.GetUserFeatures(question, timeout=_BOUND_S)
    info, bad_request = error_details(raised.value)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info.reason == f"ERROR_REASON_REQUEST_DATA_{wrong.reason}"
    assert info.metadata["name"] == wrong.name
    assert ("takes" in info.metadata) == (wrong.reason != "UNKNOWN")
    assert [violation.field for violation in bad_request.field_violations] == [f"request_data.{wrong.name}"]
    assert wrong.says in (raised.value.details() or "")
    assert "SECRET" not in (raised.value.details() or "")
    batch = BatchGetUserFeaturesRequest(
        user_ids=["7"], feature_service=question.feature_service, request_data=question.request_data
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.BatchGetUserFeatures(batch, timeout=_BOUND_S)
    assert error_details(raised.value)[0] == info
    stream = gateway.stub.StreamUserFeatures(iter([StreamUserFeaturesRequest(request=question)]), timeout=_BOUND_S)
    assert [ErrorReason.Name(answer.error.reason) async for answer in stream] == [info.reason]


@pytest.mark.parametrize("wrong", WRONG)
async def test_wrong_request_data_are_refused_before_any_hop(
    drivers: Gateway, feature_server: FakeFeatureServer, wrong: Wrong
) -> None:
    service = ALL if wrong.beside else PACE
    right = {name: one for name, one in _RIGHT.items() if wrong.beside and name != wrong.name}
    data = {name: value for name, (value, _) in right.items()} | wrong.sent
    question = GetUserFeaturesRequest(user_id="7", feature_service=service, request_data=data)
    await _refused_over_grpc(drivers, question, wrong)
    parameters = [(f"request_data.{name}", text) for name, (_, texts) in right.items() for text in texts]
    parameters += [(f"request_data.{wrong.name}", text) for text in wrong.written]
    status, body = await over_http(drivers, service, *parameters)
    assert (status, body["reason"]) == (400, f"ERROR_REASON_REQUEST_DATA_{wrong.reason}")
    assert wrong.says in body["detail"]
    assert "SECRET" not in str(body)
    assert reads_of(feature_server) == []


async def test_a_value_that_is_given_twice_is_refused(drivers: Gateway, feature_server: FakeFeatureServer) -> None:
    status, body = await over_http(drivers, PACE, ("request_data.minutes", "1"), ("request_data.minutes", "1"))
    assert (status, body["reason"]) == (400, "ERROR_REASON_REQUEST_DATA_INVALID")
    assert body["detail"] == f"The request data minutes takes {_FLOAT64}; it is given 2 times."
    batch = await drivers.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(
            user_ids=["7"],
            feature_service=PACE,
            request_data=minutes_of(1),
            request_data_by_user=[RequestData(values=minutes_of(1))],
        ),
        timeout=_BOUND_S,
    )
    (result,) = batch.results
    assert result.error.reason == ErrorReason.ERROR_REASON_REQUEST_DATA_INVALID
    assert "request_data and request_data_by_user have it both" in result.error.message
    assert reads_of(feature_server) == []
