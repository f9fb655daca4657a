"""The contract's feature views, stored and on-demand, and their features."""

from collections.abc import Mapping
from dataclasses import dataclass

from feature_gateway.contract.columns import Column


@dataclass(frozen=True, slots=True)
class ContractFeature:
    """One feature of the contract, as a selection names it."""

    name: str
    """The name in replies: the feature's own, or the full name when the selection has it twice."""

    view: str
    feature: str
    dtype: str

    max_age_s: float | None
    """The age from which a value is OUTSIDE_MAX_AGE; None for no such age."""

    alias: str | None = None
    """What a feature service calls the view instead of its name."""

    @property
    def projection(self) -> str:
        """What Feast calls the view in its answer."""
        return self.alias or self.view

    @property
    def reference(self) -> str:
        """Feast's feature reference, `view:feature`."""
        return f"{self.view}:{self.feature}"

    @property
    def full_name(self) -> str:
        """Feast's full feature name, `view__feature`, which its replies have."""
        return f"{self.projection}__{self.feature}"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A feature view: stored, or on-demand if it has a mode."""

    name: str

    columns: tuple[Column, ...]
    """What its rows are named by: join keys, for an on-demand view those of its inputs and its request data."""

    features: Mapping[str, ContractFeature]

    mode: str | None = None
    """What an on-demand view is written in: python, pandas or substrait; None for a stored view."""

    singleton: bool = False
    """Whether its function takes one row."""

    row_by_row: bool = False
    """Whether each row's features depend on that row alone."""

    inputs: tuple[ContractFeature, ...] = ()
    """The stored features that it computes from."""

    @property
    def source_views(self) -> list[str]:
        """The stored views that it computes from."""
        return list(dict.fromkeys(feature.view for feature in self.inputs))
