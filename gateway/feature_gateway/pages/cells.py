"""What a table of looked-up features says of each feature, in words; pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature, View
from feature_gateway.dtypes import DTYPES
from feature_gateway.encoding import NS_PER_S
from feature_gateway.pages.times import age_of, ago_of, moment_of
from feature_gateway.values import FeatureStatus, Row

STATUS_WORDS: Mapping[FeatureStatus, tuple[str, str]] = {
    FeatureStatus.PRESENT: ("Present", "The online store has a value, within the feature view's maximum age."),
    FeatureStatus.OUTSIDE_MAX_AGE: ("Too old", "The value is older than the feature view's maximum age."),
    FeatureStatus.NULL_VALUE: ("Null", "The feature view has a row of this key, and the row holds no value here."),
    FeatureStatus.NOT_FOUND: ("Not found", "The feature view has no row of this key in the online store."),
}
"""What each status is called, and what it means."""


@dataclass(frozen=True)
class Cell:
    """One feature of one row."""

    value: str | None
    status: FeatureStatus
    moment: str
    """The event time; empty if there is none."""

    ago: str
    why: str
    """Why there is no value, or why it is too old; empty for a value that is present."""

    @property
    def word(self) -> str:
        """What the status is called."""
        return STATUS_WORDS[self.status][0]


@dataclass(frozen=True)
class Line:
    """A feature, with the cell of each row."""

    feature: ContractFeature
    description: str
    cells: Sequence[Cell]

    @property
    def differs(self) -> bool:
        """Whether two rows have different values or statuses."""
        return len({(cell.value, cell.status) for cell in self.cells}) > 1


def cells_of(feature_set: FeatureSet, row: Row, *, key: str, now_ns: int) -> list[Cell]:
    """Return the cells of a row, whose key is `key` in words."""
    views = {view.name: view for view in feature_set.on_demand}
    judgement = row.judgement
    parts = zip(feature_set.features, row.values, judgement.statuses, judgement.event_timestamps_ns, strict=True)
    return [
        _cell(feature, views.get(feature.view), value, status, stamp_ns, key=key, now_ns=now_ns)
        for feature, value, status, stamp_ns in parts
    ]


def _cell(
    feature: ContractFeature,
    on_demand: View | None,
    value: bytes | None,
    status: FeatureStatus,
    stamp_ns: int | None,
    *,
    key: str,
    now_ns: int,
) -> Cell:
    age_s = 0.0 if stamp_ns is None else (now_ns - stamp_ns) / NS_PER_S
    return Cell(
        value=None if value is None else value_text(feature.dtype, value),
        status=status,
        moment="" if stamp_ns is None else moment_of(stamp_ns),
        ago="" if stamp_ns is None else ago_of(age_s),
        why=_why(feature, on_demand, status, key=key, age_s=age_s),
    )


def value_text(dtype: str, value: bytes) -> str:
    """Return an encoded value as text: a String as it is, anything else as JSON."""
    found = DTYPES[dtype].to_json(value)
    return found if dtype == "String" else json.dumps(found, ensure_ascii=False)


def _why(feature: ContractFeature, on_demand: View | None, status: FeatureStatus, *, key: str, age_s: float) -> str:
    view, stored = feature.view, on_demand is None
    sources = " and ".join(on_demand.source_views) if on_demand else ""
    too_old = f"It is computed from {sources}, and a row there is older than its maximum age."
    if feature.max_age_s is not None:
        too_old = f"The row is {age_of(age_s)} old, and the maximum age of {view} is {age_of(feature.max_age_s)}."
    return {
        FeatureStatus.PRESENT: "",
        FeatureStatus.OUTSIDE_MAX_AGE: too_old,
        FeatureStatus.NULL_VALUE: f"{view} has a row of {key}, and the row holds no value of this feature."
        if stored
        else f"The function of {view} returned no value.",
        FeatureStatus.NOT_FOUND: f"{view} has no row of {key} in the online store."
        if stored
        else f"It is computed from {sources}, and the online store has no row of {key} there.",
    }[status]
