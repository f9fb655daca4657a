"""Every error class has its row in the table."""

import grpc
import pytest
from feature_gateway import errors
from feature_gateway.errors import ERROR_TABLE, GatewayError
from streamflow.features.v1.error_reason_pb2 import ErrorReason


def _error_classes() -> list[type[GatewayError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, GatewayError) and value is not GatewayError
    ]


def test_every_error_class_is_in_the_table_and_no_other() -> None:
    assert set(_error_classes()) == set(ERROR_TABLE)


def test_every_reason_of_the_api_is_given_by_exactly_one_class() -> None:
    reasons = [entry.reason for entry in ERROR_TABLE.values()]
    assert sorted(reasons) == sorted(set(ErrorReason.values()) - {ErrorReason.ERROR_REASON_UNSPECIFIED})


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


@pytest.mark.parametrize("error", _error_classes(), ids=lambda error: error.__name__)
def test_http_says_what_grpc_says(error: type[GatewayError]) -> None:
    entry = ERROR_TABLE[error]
    assert entry.http_status == _HTTP_STATUSES[entry.code]
