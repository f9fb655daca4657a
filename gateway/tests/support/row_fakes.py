"""Rows of a test's values, and the values of rows."""

from typing import Any

from feature_gateway.dtypes import DTYPES
from feature_gateway.values import EncodedValue, FeatureStatus, Judgement, Row
from streamflow.features.feast.types.Value_pb2 import Value


def present(*values: EncodedValue) -> Row:
    """A row of encoded values, all there since the first nanosecond of 1970."""
    return Row(values, Judgement((FeatureStatus.PRESENT,) * len(values), (1,) * len(values), known=True))


def row_of_text(text: str) -> Row:
    """A row of one text."""
    return present(DTYPES["String"].from_feast_json(text))


def value_of(encoded: EncodedValue) -> Any:
    """What an encoded value holds: a UnixTimestamp in seconds, a list as a tuple."""
    if encoded is None:
        return None
    message = Value.FromString(encoded)
    field = message.WhichOneof("val")
    assert field is not None
    content = getattr(message, field)
    return tuple(content.val) if field.endswith("_list_val") else content


def values_of(row: Row) -> tuple[Any, ...]:
    """What the values of a row hold."""
    return tuple(map(value_of, row.values))
