"""Features that are read together, and the columns that name their rows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.views import ContractFeature, View


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Some features of the contract in the order of the reply; compared by identity, so that it can key a read."""

    features: tuple[ContractFeature, ...]

    columns: tuple[Column, ...]
    """What each of its rows is named by."""

    feature_service: str | None = None
    """The feature service that `feast serve` is asked for by name; None if it is asked for the features."""

    on_demand: tuple[View, ...] = ()
    """The on-demand views that compute some of the features."""

    read_along: tuple[ContractFeature, ...] = ()
    """Features that are read behind the others, for what their rows say of on-demand features."""

    name: str = ""
    """The feature service that has these features; empty for features that are listed."""

    reordered: "FeatureSet | None" = field(default=None, repr=False)
    """The same features in the order in which they are read; None if that is this order."""

    @property
    def read_set(self) -> "FeatureSet":
        """What reads are merged by: one object for the same features in whatever order."""
        return self if self.reordered is None else self.reordered

    @cached_property
    def read_features(self) -> tuple[ContractFeature, ...]:
        """The features of the rows that a read of this set returns."""
        return self.features + self.read_along

    @cached_property
    def read_positions(self) -> tuple[int, ...] | None:
        """Where each feature stands in a row of `read_set`; None if the row is the reply's."""
        positions = {feature.full_name: at for at, feature in enumerate(self.read_set.read_features)}
        found = tuple(positions[feature.full_name] for feature in self.features)
        return None if found == tuple(range(len(positions))) else found

    @cached_property
    def rows_of_views(self) -> tuple[tuple[str, int], ...]:
        """Each row that the features are from: its feature view, and the position of its first feature.

        All features of a row have one event timestamp. A view that is joined twice has two rows.
        """
        rows: dict[str, tuple[str, int]] = {}
        for position, feature in enumerate(self.features):
            rows.setdefault(feature.projection, (feature.view, position))
        return tuple(rows.values())

    @cached_property
    def references(self) -> list[str]:
        """The references of the features that are read."""
        return [feature.reference for feature in self.read_features]

    @cached_property
    def selection(self) -> bytes:
        """The same references as msgpack: by these bytes a feature server finds what it has resolved before."""
        return msgspec.msgpack.encode(self.references)

    @cached_property
    def asked(self) -> dict[str, Any]:
        """What a request to `feast serve` has beside its entities."""
        names = {"full_feature_names": self.full_names}
        if self.feature_service is not None:
            return {"feature_service": self.feature_service, **names}
        return {"features": self.references, **names}

    @cached_property
    def any_max_age(self) -> bool:
        """Whether any of the features that are read has a maximum age."""
        return any(feature.max_age_s is not None for feature in self.read_features)

    @cached_property
    def positions_by_view(self) -> tuple[tuple[int, ...], ...]:
        """The read positions of each stored view's features: a view has an entity's whole row or none."""
        return tuple(tuple(positions) for positions in self._positions_by_projection.values())

    @cached_property
    def sources(self) -> tuple[tuple[int, tuple[tuple[int, ...], ...]], ...]:
        """The position of each on-demand feature, with the read positions of each of its source views."""
        views = {view.name: view for view in self.on_demand}
        return tuple(
            (
                position,
                tuple(
                    tuple(self._positions_by_projection[source])
                    for source in views[feature.view].source_views
                    if source in self._positions_by_projection
                ),
            )
            for position, feature in enumerate(self.features)
            if feature.view in views
        )

    @cached_property
    def sources_in_row(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """The position of each on-demand feature, with the positions of its sources in a row of `read_set`."""
        read = self.read_set
        by_name = {read.features[at].full_name: sources for at, sources in read.sources}
        return tuple(
            (position, tuple(at for positions in by_name[feature.full_name] for at in positions))
            for position, feature in enumerate(self.features)
            if feature.full_name in by_name
        )

    @cached_property
    def stored_inputs(self) -> "FeatureSet | None":
        """A feature of each stored view that the on-demand features are computed from; None if there is none."""
        inputs = {feature.view: feature for view in self.on_demand for feature in view.inputs}
        return FeatureSet(tuple(inputs.values()), self._join_keys_of_sources()) if inputs else None

    @cached_property
    def read_apart(self) -> "FeatureSet | None":
        """What is read along in a request of its own, as a feature service's name can't ask for it; None if nothing."""
        if self.feature_service is None or not self.read_along:
            return None
        return FeatureSet(self.read_along, self._join_keys_of_sources())

    @cached_property
    def full_names(self) -> bool:
        """Whether `feast serve` is asked for full names: with them Feast omits the features of a view in Python."""
        return not any(view.mode == "python" for view in self.on_demand)

    @cached_property
    def reply_names(self) -> list[str]:
        """The names of the read features in the answer of `feast serve`."""
        return [feature.full_name if self.full_names else feature.feature for feature in self.read_features]

    @cached_property
    def max_read_rows(self) -> int | None:
        """The most rows, or whole calls, of a read: one if functions can't take several, otherwise None."""
        return None if all(view.row_by_row and not view.singleton for view in self.on_demand) else 1

    @cached_property
    def reads_whole_calls(self) -> bool:
        """Whether all rows of a call are read at once and alone: a feature may depend on each of them.

        Not if a function takes a single row: Feast answers only for the first row of a request then.
        """
        return self.max_read_rows == 1 and not any(view.singleton for view in self.on_demand)

    def _join_keys_of_sources(self) -> tuple[Column, ...]:
        names = {column.name for view in self.on_demand for column in view.columns}
        return tuple(column for column in self.columns if column.name in names and column.kind is ColumnKind.JOIN_KEY)

    @cached_property
    def _positions_by_projection(self) -> dict[str, list[int]]:
        on_demand = {view.name for view in self.on_demand}
        positions: dict[str, list[int]] = {}
        for position, feature in enumerate(self.read_features):
            if feature.view not in on_demand:
                positions.setdefault(feature.projection, []).append(position)
        return positions


def named(features: Iterable[ContractFeature]) -> tuple[ContractFeature, ...]:
    """Return features as a reply names them: those that share a name get their full names."""
    chosen = tuple(features)
    count = Counter(feature.feature for feature in chosen)
    return tuple(
        replace(feature, name=feature.full_name if count[feature.feature] > 1 else feature.feature)
        for feature in chosen
    )


class ReadSets:
    """Finds the order in which features are read, so that all orders of the same features share their reads."""

    def __init__(self) -> None:
        """Create a finder that knows no features yet."""
        # Weak: a set is known for as long as anything reads by it.
        self._first: WeakValueDictionary[tuple[str | None, frozenset[tuple[str, str]]], FeatureSet] = (
            WeakValueDictionary()
        )

    def share(self, feature_set: FeatureSet) -> FeatureSet:
        """Return the feature set, to be read in the order of the first set that had the same features.

        Its columns then have the order of that set's too: keys of both name the same rows.
        """
        features = frozenset((feature.full_name, feature.dtype) for feature in feature_set.features)
        first = self._first.setdefault((feature_set.feature_service, features), feature_set)
        return feature_set if first is feature_set else replace(feature_set, reordered=first, columns=first.columns)
