"""A list feature of each type: what `feast serve` answers for it, and what callers get."""

import math
from dataclasses import dataclass
from typing import Any

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from gateway_fakes import service_entry

SERVICE = "lists_v1"
_VIEW = "lists_fv"
_DAY_S = 86400.0
_NULL_TIMESTAMP_S = -(2**63)


@dataclass(frozen=True)
class ListCase:
    """One list feature."""

    of: str

    feast: list[Any]
    """As `feast serve` answers."""

    field: str

    sent: list[Any]
    """The elements of the API's message."""

    shown: list[Any]
    """As HTTP's JSON has it."""

    @property
    def name(self) -> str:
        return f"some_{self.of.lower()}"

    @property
    def dtype(self) -> str:
        return f"List({self.of})"


def _same(of: str, field: str, elements: list[Any]) -> ListCase:
    return ListCase(of, elements, field, elements, elements)


LISTS = (
    _same("Bool", "bool_list_value", [True, False, False]),
    _same("Int32", "int32_list_value", [-(2**31), 2**31 - 1]),
    _same("Int64", "int64_list_value", [-(2**63), 0, 2**63 - 1]),
    _same("Float32", "float_list_value", [0.5, -0.0, 0.10000000149011612]),
    ListCase(
        "Float64",
        [24.725258074861507, "Infinity", "-Infinity"],
        "double_list_value",
        [24.725258074861507, math.inf, -math.inf],
        [24.725258074861507, "Infinity", "-Infinity"],
    ),
    _same("String", "string_list_value", ["", "NaN", "naïve 名"]),
    ListCase("Bytes", ["", "AP8="], "bytes_list_value", [b"", b"\x00\xff"], ["", "AP8="]),
    ListCase(
        "UnixTimestamp",
        [1_709_164_800, _NULL_TIMESTAMP_S, -1],
        "timestamp_list_value",
        [1_709_164_800, _NULL_TIMESTAMP_S, -1],
        ["2024-02-29T00:00:00Z", None, "1969-12-31T23:59:59Z"],
    ),
)

LIST_SET = FeatureSet(tuple(ContractFeature(case.name, _VIEW, case.name, case.dtype, _DAY_S) for case in LISTS), ())
"""The features as the contract has them, all with a maximum age of a day."""

LIST_VALUES = {feature.full_name: case.feast for feature, case in zip(LIST_SET.features, LISTS, strict=True)}
"""The values for `feast_answer`."""


def with_lists(content: dict[str, Any]) -> dict[str, Any]:
    """The contract's content with a view and a feature service of list features."""
    features = [{"name": case.name, "dtype": case.dtype} for case in LISTS]
    view = {"name": _VIEW, "entities": ["user"], "max_age_s": _DAY_S, "features": features}
    service = service_entry(SERVICE, [(_VIEW, case.name, case.dtype, _DAY_S) for case in LISTS])
    return {
        **content,
        "feature_views": [*content["feature_views"], view],
        "feature_services": [*content["feature_services"], service],
    }
