"""Every reason of the API has its statuses, and an error that is caught by its class has one reason."""

import grpc
import pytest
from feature_gateway import errors
from feature_gateway.errors import CODES, HTTP_STATUSES, GatewayError, as_gateway_error
from streamflow.features.v1.error_reason_pb2 import ErrorReason


def test_every_reason_of_the_api_is_in_the_table_and_no_other() -> None:
    assert sorted(CODES) == sorted(set(ErrorReason.values()) - {ErrorReason.ERROR_REASON_UNSPECIFIED})


_HTTP_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


@pytest.mark.parametrize("reason", CODES, ids=ErrorReason.Name)
def test_http_says_what_grpc_says(reason: ErrorReason.ValueType) -> None:
    error = GatewayError(reason, "failed")
    assert error.code is CODES[reason]
    assert error.http_status == _HTTP_STATUSES[error.code]


def test_no_code_and_no_http_status_is_there_for_nothing() -> None:
    assert set(HTTP_STATUSES) == set(CODES.values())
    assert len(set(HTTP_STATUSES.values())) == len(HTTP_STATUSES)


def test_each_class_that_is_caught_has_a_reason_of_its_own() -> None:
    reasons = [kind("failed").reason for kind in errors._OneReasonError.__subclasses__()]
    assert len(reasons) == 5
    assert sorted(reasons) == sorted(set(reasons))


def test_an_unforeseen_exception_says_nothing_of_itself() -> None:
    error = as_gateway_error(ValueError("secret"))
    assert (error.reason, error.message) == (ErrorReason.ERROR_REASON_INTERNAL, errors.INTERNAL_MESSAGE)
    known = GatewayError(ErrorReason.ERROR_REASON_USER_ID_EMPTY, "user_id is empty")
    assert as_gateway_error(known) is known
