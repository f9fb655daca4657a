"""Checks user ids, keys and request data, as a gateway does."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from streamflow.features.v1.request_data_pb2 import RequestValue

from streamflow_features._dtypes import element_of
from streamflow_features._errors import FeatureServingError
from streamflow_features._reasons import ErrorReason
from streamflow_features.testing._definitions import Key, Selection
from streamflow_features.testing._refused import refused

_MAX_ID_BYTES = 128
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_LIMITS = {"Int32": 2**31, "Int64": 2**63}
_TAKES = {
    "Bool": "true or false",
    "Float32": "a finite number",
    "Float64": "a finite number",
    "String": "a text",
    **{name: f"a whole number from {-limit} to {limit - 1}" for name, limit in _LIMITS.items()},
}


def check_user_id(user_id: str, key: Key) -> None:
    """Raise InvalidArgument for a text that can't be a user id."""
    if not user_id:
        raise refused(ErrorReason.USER_ID_EMPTY, "user_id is empty; give the id of a user.")
    if len(user_id.encode()) > _MAX_ID_BYTES:
        message = f"user_id is longer than {_MAX_ID_BYTES} bytes."
        raise refused(ErrorReason.USER_ID_TOO_LONG, message, max_bytes=str(_MAX_ID_BYTES))
    limit = _LIMITS.get(key.dtype)
    if limit is not None and not (_WHOLE.fullmatch(user_id) and -limit <= int(user_id) < limit):
        message = f"user_id {user_id!r} is not {_TAKES[key.dtype]}."
        raise refused(ErrorReason.USER_ID_MALFORMED, message, pattern=_WHOLE.pattern)
    if limit is None and key.pattern is not None and not re.fullmatch(key.pattern, user_id):
        message = f"user_id {user_id!r} is not of the form {key.pattern}."
        raise refused(ErrorReason.USER_ID_MALFORMED, message, pattern=key.pattern)


def key_of(value: Any, key: Key, row: int) -> str:
    """Return the user id of a row's key. Raises InvalidArgument for a value that is not a key."""
    takes = takes_of(key.dtype)
    if key.dtype == "String":
        takes += f" of at most {_MAX_ID_BYTES} bytes" + (f", of the form {key.pattern}" if key.pattern else "")
    fits = _is_of(value, key.dtype)
    if fits and key.dtype == "String":
        fits = len(value.encode()) <= _MAX_ID_BYTES and (key.pattern is None or bool(re.fullmatch(key.pattern, value)))
    if not fits:
        message = f"The join key {key.name} takes {takes}; row {row} has another value."
        raise refused(ErrorReason.ENTITY_KEY_INVALID, message, join_key=key.name, takes=takes)
    return str(value)


def check_count(user_ids: Sequence[str], *, limit: int) -> None:
    """Raise InvalidArgument for a batch of no users, or of more than `limit`."""
    if not user_ids:
        raise refused(ErrorReason.USER_IDS_EMPTY, "user_ids is empty; give the ids of the users.")
    if len(user_ids) > limit:
        message = f"There are {len(user_ids)} user ids, and a batch takes {limit}; send several batches."
        raise refused(ErrorReason.USER_IDS_TOO_MANY, message, max_users=str(limit))


def check_rows(columns: Mapping[str, Sequence[Any]], *, limit: int) -> None:
    """Raise InvalidArgument for columns of no rows, of more than `limit`, or of different numbers of rows."""
    counts = {len(values) for values in columns.values()}
    if max(counts) > limit:
        message = f"There are {max(counts)} rows, and a call takes {limit}; send several calls."
        raise refused(ErrorReason.ROWS_TOO_MANY, message, max_rows=str(limit))
    if len(counts) > 1:
        raise refused(ErrorReason.COLUMNS_RAGGED, "Each column needs one value for each row.")
    if counts == {0}:
        raise refused(ErrorReason.ROWS_EMPTY, "There are no rows; give one value or more for each column.")


def python_values(request_data: Mapping[str, RequestValue]) -> dict[str, Any]:
    """Return request data as Python values."""
    found = {}
    for name, message in request_data.items():
        field = message.WhichOneof("value")
        value: Any = getattr(message, field) if field else None
        found[name] = list(value.val) if field and field.endswith("_list_value") else value
    return found


def checked_data(data: Mapping[str, Any], selection: Selection, *, complete: bool = True) -> dict[str, Any]:
    """Return request data with the types of the selection. Raises InvalidArgument for what is wrong or missing."""
    if selection.any_request_data:
        return dict(data)
    typed = {}
    for name, value in data.items():
        if name not in selection.request_data:
            message = f"These features do not depend on the request data {name!r}."
            raise refused(ErrorReason.REQUEST_DATA_UNKNOWN, message, name=name)
        dtype = selection.request_data[name]
        if not _is_of(value, dtype):
            takes = takes_of(dtype)
            message = f"The request data {name} takes {takes}; the request has another value."
            raise refused(ErrorReason.REQUEST_DATA_INVALID, message, name=name, takes=takes)
        typed[name] = _typed(value, dtype)
    for name in selection.request_data:
        if complete and name not in typed:
            raise missing_data(name, selection)
    return typed


def missing_data(name: str, selection: Selection) -> FeatureServingError:
    """Return the error of request data that a call does not have."""
    takes = takes_of(selection.request_data[name])
    message = f"The request data {name} is missing; it takes {takes}."
    return refused(ErrorReason.REQUEST_DATA_MISSING, message, name=name, takes=takes)


def both_data(common: Mapping[str, Any], own: Mapping[str, Any], selection: Selection) -> dict[str, Any]:
    """Return the request data of all users and those of one. Raises InvalidArgument for a name that is in both."""
    for name in common.keys() & own.keys():
        message = f"request_data and request_data_by_user have {name} both."
        takes = takes_of(selection.request_data.get(name, "Float64"))
        raise refused(ErrorReason.REQUEST_DATA_INVALID, message, name=name, takes=takes)
    return {**common, **own}


def takes_of(dtype: str) -> str:
    """Return what values of a type are, as errors say it."""
    element = element_of(dtype)
    return f"{dtype}, {_TAKES[dtype] if element is None else f'one or more elements, each {_TAKES[element]}'}"


def _is_of(value: Any, dtype: str) -> bool:
    element = element_of(dtype)
    if element is not None:
        return isinstance(value, list) and bool(value) and all(_is_of(one, element) for one in value)
    if dtype in _LIMITS:
        return type(value) is int and -_LIMITS[dtype] <= value < _LIMITS[dtype]
    if dtype.startswith("Float"):
        return type(value) in {int, float} and math.isfinite(value)
    return type(value) is (bool if dtype == "Bool" else str)


def _typed(value: Any, dtype: str) -> Any:
    element = element_of(dtype)
    if element is not None:
        return [_typed(one, element) for one in value]
    return float(value) if dtype.startswith("Float") else value
