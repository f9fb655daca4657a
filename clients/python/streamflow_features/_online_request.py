"""Builds the requests of `get_online_features`, from what Feast's own method takes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from streamflow.features.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest
from streamflow.features.feast.types import Value_pb2
from streamflow.features.feast.types.Value_pb2 import RepeatedValue, Value

# bool comes first: a bool is an int too.
_FIELDS: Sequence[tuple[type, str]] = (
    (bool, "bool"),
    (int, "int64"),
    (float, "double"),
    (str, "string"),
    (bytes, "bytes"),
)
_LISTS = {
    "bool": Value_pb2.BoolList,
    "int64": Value_pb2.Int64List,
    "double": Value_pb2.DoubleList,
    "string": Value_pb2.StringList,
    "bytes": Value_pb2.BytesList,
}


class Named(Protocol):
    """A feature service: this package's FeatureService, Feast's, or anything else that has its name."""

    @property
    def name(self) -> str:
        """The feature service's name."""


EntityRows = Iterable[Mapping[str, Any]] | Mapping[str, Iterable[Any]]
"""The rows, each a mapping of join keys and request data to values; or one list of values for each name."""


def online_request(
    features: Sequence[str] | Named, entity_rows: EntityRows, *, full_feature_names: bool
) -> GetOnlineFeaturesRequest:
    """Return the request for rows of any entity.

    Raises TypeError or ValueError for what can't be sent, by its row and name.
    """
    request = GetOnlineFeaturesRequest(full_feature_names=full_feature_names)
    if isinstance(features, str):
        raise TypeError(f"features is the text {features!r}; give a list of references, or a feature service")
    if isinstance(features, Iterable):
        request.features.SetInParent()
        request.features.val.extend(features)
    else:
        request.feature_service = features.name
    for name, values in _columns(entity_rows).items():
        request.entities[name].CopyFrom(
            RepeatedValue(val=[_value(value, name, row) for row, value in enumerate(values)])
        )
    return request


def _columns(entity_rows: EntityRows) -> Mapping[str, Sequence[Any]]:
    if isinstance(entity_rows, Mapping):
        columns = {name: list(values) for name, values in entity_rows.items()}
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            described = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
            raise ValueError(f"the columns of entity_rows have different numbers of values: {described}")
        return columns
    rows = list(entity_rows)
    names = list(rows[0]) if rows else []
    for position, row in enumerate(rows):
        if row.keys() != set(names):
            raise ValueError(f"row {position} of entity_rows has {sorted(row)}, and row 0 has {sorted(names)}")
    return {name: [row[name] for row in rows] for name in names}


def _value(value: Any, name: str, row: int) -> Value:
    if value is None:
        return Value()
    if isinstance(value, Value_pb2.Value):
        return value
    # Of NumPy's numbers and arrays.
    value = value.tolist() if hasattr(value, "tolist") else value
    try:
        if isinstance(value, list | tuple):
            field = _common_field(value)
            return Value(**{f"{field}_list_val": _LISTS[field](val=value)})
        return Value(**{f"{_field(value)}_val": value})
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"{name} of row {row} can't be sent: {error}") from None


def _field(value: Any) -> str:
    for kind, field in _FIELDS:
        if isinstance(value, kind):
            return field
    raise TypeError(f"a {type(value).__name__} is neither a bool, an int, a float, a str, bytes nor a list of them")


def _common_field(values: Sequence[Any]) -> str:
    fields = {_field(value) for value in values}
    if fields == {"int64", "double"}:
        return "double"
    if len(fields) != 1:
        raise ValueError("a list takes elements of one type, and at least one")
    return fields.pop()
