"""Converts Feast's column JSON into rows of encoded values with true statuses; pure.

`feast serve` answers with one column a feature, aligned by position to `metadata.feature_names`, whose order varies
from process to process. Its statuses are not read: `judging` finds them.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.dtypes import DTYPES
from feature_gateway.encoding import NS_PER_S
from feature_gateway.errors import GatewayError, WrongValueError
from feature_gateway.reads import RowsRead
from feature_gateway.upstream.judging import row_of
from feature_gateway.values import EncodedValue


def request_body(feature_set: FeatureSet, keys: Sequence[RowKey]) -> bytes:
    """Return the body of a POST to /get-online-features.

    It lists the features where it can: if it named the feature service, Feast would parse it again for each request.
    Full names keep two views' features of one name apart.
    """
    columns = feature_set.columns
    if len(columns) == 1:
        # As most are, and the cheapest.
        return orjson.dumps({**feature_set.asked, "entities": {columns[0].name: [key[0] for key in keys]}})
    values = zip(columns, zip(*keys, strict=True), strict=True)
    return orjson.dumps({**feature_set.asked, "entities": {column.name: value for column, value in values}})


def parse_rows(body: bytes, feature_set: FeatureSet, row_count: int, *, beside: bytes = b"") -> RowsRead:
    """Return one row a key, in the order asked, features in the order in which the feature set is read.

    `beside` is the answer that has what is read apart.

    A row with a value that is not of its contract's type is a WrongValueError instead; if no other row was asked for,
    the error is raised. Raises GatewayError (UPSTREAM_MISMATCH) if the body does not answer the request: a feature is
    missing, or a column is too short or too long. No error's text has a value: several callers share a read.
    """
    wrong: dict[int, WrongValueError] = {}
    apart, names = feature_set.read_apart, feature_set.reply_names
    if apart is None:
        results = _results(body, names)
    else:
        results = _results(body, names[: len(feature_set.features)]) + _results(beside, apart.reply_names)
    columns = [
        _column(result, feature, row_count, wrong)
        for feature, result in zip(feature_set.read_features, results, strict=True)
    ]
    if row_count == 1 and wrong:
        raise wrong[0]
    values_by_row = zip(*(values for values, _ in columns), strict=True)
    stamps_by_row = zip(*(stamps for _, stamps in columns), strict=True)
    rows = [row_of(values, stamps, feature_set) for values, stamps in zip(values_by_row, stamps_by_row, strict=True)]
    return [wrong.get(position, row) for position, row in enumerate(rows)] if wrong else rows


def _results(body: bytes, names: Sequence[str]) -> list[Any]:
    try:
        answer = orjson.loads(body)
        by_name = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayError(
            ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH,
            f"The feature server's answer does not have the form of Feast's ({type(error).__name__}).",
        ) from None
    missing = [name for name in names if name not in by_name]
    if missing:
        raise GatewayError(
            ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH,
            f"The feature server's answer does not hold the features asked for ({missing[0]} is missing).",
        )
    return [by_name[name] for name in names]


def _column(
    result: Any, feature: ContractFeature, row_count: int, wrong: dict[int, WrongValueError]
) -> tuple[list[EncodedValue], list[int]]:
    """Return one feature's values and event timestamps; note in `wrong` the rows for which there are none."""
    parts = (result.get("values"), result.get("event_timestamps")) if isinstance(result, dict) else (None, None)
    if not all(isinstance(part, list) and len(part) == row_count for part in parts):
        raise GatewayError(
            ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH,
            f"The feature server did not answer with one value of {feature.reference} each for {row_count} rows.",
        )
    values: list[Any]
    stamps: list[Any]
    values, stamps = parts  # type: ignore[assignment]
    try:
        return _encoded(values, feature.dtype), _stamps_ns(stamps)
    except (AttributeError, TypeError, ValueError):
        pairs = enumerate(zip(values, stamps, strict=True))
        one_by_one = [_one(position, *pair, feature, wrong) for position, pair in pairs]
        return [value for value, _ in one_by_one], [stamp_ns for _, stamp_ns in one_by_one]


def _one(
    position: int, value: Any, stamp: Any, feature: ContractFeature, wrong: dict[int, WrongValueError]
) -> tuple[EncodedValue, int]:
    """Return one row's value and event timestamp; note it in `wrong` if one of them can't be read."""
    what = f"value of {feature.reference} is not {feature.dtype} (got {_type_name(value)})"
    try:
        (encoded,) = _encoded([value], feature.dtype)
        what = f"event timestamp of {feature.reference} is not a time"
        return encoded, _timestamp_ns(stamp)
    except (AttributeError, TypeError, ValueError):
        text = f"The feature server's {what}: feature server and gateway are not on the same definitions."
        wrong.setdefault(position, WrongValueError(text))
        return None, 0


def _type_name(value: Any) -> str:
    """Return the name of a JSON value's type, with the types of a list's elements."""
    if not isinstance(value, list):
        return type(value).__name__
    return f"list of {', '.join(sorted({type(element).__name__ for element in value}))}" if value else "empty list"


def _encoded(values: list[Any], dtype: str) -> list[EncodedValue]:
    encode = DTYPES[dtype].from_feast_json
    return [None if value is None else encode(value) for value in values]


def _stamps_ns(stamps: list[str]) -> list[int]:
    first = stamps[0]
    if stamps.count(first) == len(stamps):
        return [_timestamp_ns(first)] * len(stamps)
    return [_timestamp_ns(stamp) for stamp in stamps]


# A month's snapshot gives all rows the same timestamps, so few texts are in use at a time.
@lru_cache(maxsize=4096)
def _timestamp_ns(text: str) -> int:
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    return whole * NS_PER_S + int(fraction.ljust(9, "0")[:9] or 0)
