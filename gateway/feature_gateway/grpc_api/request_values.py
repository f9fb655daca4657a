"""Converts the API's messages of request data into Python values; pure."""

from collections.abc import Mapping
from typing import Any

from streamflow.features.v1.request_data_pb2 import RequestValue


def python_values(request_data: Mapping[str, RequestValue]) -> dict[str, Any]:
    """Return the values by name; None for a message without a value, which no request data take."""
    return {name: _python_value(message) for name, message in request_data.items()}


def _python_value(message: RequestValue) -> Any:
    field = message.WhichOneof("value")
    if field is None:
        return None
    value = getattr(message, field)
    return [*value.val] if field.endswith("_list_value") else value
