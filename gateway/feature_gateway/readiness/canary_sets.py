"""What canary reads ask for: features of any contract, and keys that need not exist; pure."""

from collections.abc import Iterable
from typing import Any

from feature_gateway.contract.columns import Column, ColumnKind, RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.dtypes import INT_LIMITS, element_of

# A function that divides by request data can do so.
_REQUEST_DATA: dict[str, Any] = {
    "Bool": False,
    "Int32": 1,
    "Int64": 1,
    "Float32": 1.0,
    "Float64": 1.0,
    "String": "",
}


def canary_set(contract: Contract, *, feature_service: str, user_entity: str) -> FeatureSet | None:
    """Return features of which a read goes through to the online store, if any do; None if there are no features.

    Those of the default feature service, if they do, otherwise those of another one. A function of an on-demand view
    may raise for a key that does not exist, so features that are only stored are preferred.
    """
    default = contract.default_feature_set(feature_service=feature_service, user_entity=user_entity)
    candidates = [*([default] if default else []), *trial_sets(contract)]
    stored = [feature_set for feature_set in candidates if feature_set.positions_by_view]
    return min(stored or candidates, key=lambda feature_set: len(feature_set.on_demand), default=None)


def trial_sets(contract: Contract) -> list[FeatureSet]:
    """Return the features of each feature service; those of each stored view if there is no feature service."""
    if contract.services:
        return [*contract.services.values()]
    stored = [view for view in contract.views.values() if view.mode is None and view.columns]
    return [contract.feature_set_of_references([one.reference for one in view.features.values()]) for view in stored]


def canary_key(columns: Iterable[Column], text: str) -> RowKey:
    """Return a key whose join keys are `text`, or a number where they are numbers."""
    return tuple(_value(column, text) for column in columns)


def _value(column: Column, text: str) -> Any:
    if column.kind is ColumnKind.REQUEST_DATA:
        element = element_of(column.dtype)
        value = _REQUEST_DATA[element]
        return value if element == column.dtype else (value,)
    if column.dtype == "String":
        return text
    limit = INT_LIMITS[column.dtype]
    return int(text) if text.isdecimal() and int(text) < limit else 0
