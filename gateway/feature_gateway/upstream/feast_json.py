"""Converts Feast's column JSON into typed rows with true statuses; pure.

`feast serve` answers with one column a feature, aligned by position to `metadata.feature_names`, whose order varies
from process to process. Feast 0.67 on Redis calls every value PRESENT (its `_populate_response_from_feature_data`), so
its statuses are not read: a view has no row of a user if each of its columns has a null at the epoch.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import Any

import orjson
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.contract.model import FeatureSet
from feature_gateway.dtypes import DTYPES
from feature_gateway.errors import GatewayError
from feature_gateway.values import FeatureStatus, FeatureValue, UserRow

_NS_PER_S = 1_000_000_000


def request_body(feature_set: FeatureSet, join_key: str, user_ids: Sequence[str]) -> bytes:
    """Return the body of a POST to /get-online-features.

    It lists the features: if it named the feature service, Feast would parse it again for each request. Full names
    keep two views' features of one name apart.
    """
    return orjson.dumps(
        {"features": feature_set.references, "entities": {join_key: user_ids}, "full_feature_names": True}
    )


def parse_rows(body: bytes, feature_set: FeatureSet, user_count: int) -> list[UserRow]:
    """Return one row a user, in the order asked, features in the order of the feature set.

    Raises GatewayError (UPSTREAM_MISMATCH) if the body does not answer that request: a feature is missing, a column is
    too short or too long, or a value is not of its contract's type.
    """
    columns = [
        _column(result, feature.dtype, feature.reference, user_count)
        for feature, result in zip(feature_set.features, _results(body, feature_set), strict=True)
    ]
    values_by_user = zip(*(values for values, _ in columns), strict=True)
    stamps_by_user = zip(*(stamps for _, stamps in columns), strict=True)
    return [_row(values, stamps, feature_set) for values, stamps in zip(values_by_user, stamps_by_user, strict=True)]


def _results(body: bytes, feature_set: FeatureSet) -> list[Mapping[str, Any]]:
    try:
        answer = orjson.loads(body)
        by_name = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
        return [by_name[feature.full_name] for feature in feature_set.features]
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayError(
            ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH,
            f"The feature server's answer does not hold the features asked for ({type(error).__name__}: {error}).",
        ) from error


def _column(
    result: Mapping[str, Any], dtype: str, reference: str, user_count: int
) -> tuple[list[FeatureValue], list[int]]:
    try:
        values, stamps = result["values"], result["event_timestamps"]
        if len(values) != user_count or len(stamps) != user_count:
            raise GatewayError(
                ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH,
                f"The feature server answered with {len(values)} values of {reference} for {user_count} users.",
            )
        return _typed(values, dtype), _stamps_ns(stamps)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise GatewayError(
            ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH,
            f"The feature server's value of {reference} is not {dtype} ({error}): "
            "feature server and gateway are not on the same definitions.",
        ) from error


def _typed(values: list[Any], dtype: str) -> list[FeatureValue]:
    kind = DTYPES[dtype]
    # A column that JSON already gave the right type is returned as it is, without a call for each value.
    if kind.json_is_typed and {*map(type, values)} <= {kind.python_type, NoneType}:
        return values
    convert = kind.from_feast_json
    return [None if value is None else convert(value) for value in values]


def _stamps_ns(stamps: list[str]) -> list[int]:
    first = stamps[0]
    if stamps.count(first) == len(stamps):
        return [_timestamp_ns(first)] * len(stamps)
    return [_timestamp_ns(stamp) for stamp in stamps]


def _row(values: tuple[FeatureValue, ...], stamps_ns: tuple[int, ...], feature_set: FeatureSet) -> UserRow:
    if None not in values:
        return UserRow(values, (FeatureStatus.PRESENT,) * len(values), stamps_ns, user_known=True)
    statuses = [FeatureStatus.NULL_VALUE if value is None else FeatureStatus.PRESENT for value in values]
    stamps: list[int | None] = [*stamps_ns]
    user_known = False
    for positions in feature_set.positions_by_view:
        # Never written: nothing but nulls at the epoch.
        if all(values[position] is None and stamps_ns[position] == 0 for position in positions):
            for position in positions:
                statuses[position] = FeatureStatus.NOT_FOUND
                stamps[position] = None
        else:
            user_known = True
    return UserRow(values, tuple(statuses), tuple(stamps), user_known)


# A month's snapshot gives all users the same timestamps, so few texts are in use at a time.
@lru_cache(maxsize=4096)
def _timestamp_ns(text: str) -> int:
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    return whole * _NS_PER_S + int(fraction.ljust(9, "0")[:9] or 0)
