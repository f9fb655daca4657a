"""The contract: which features exist, their order and types, and how a request's selection resolves."""

import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from weakref import WeakValueDictionary

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.clipping import listed
from feature_gateway.errors import GatewayError

_MAX_REMEMBERED_SETS = 1024
_SERVICE_FIELD = "feature_service"
_REFERENCES_FIELD = "feature_references.references"


@dataclass(frozen=True, slots=True)
class ContractFeature:
    """One feature of the contract, as a selection names it."""

    name: str
    """The name in replies: the feature's own, or `view__feature` when the selection has it twice."""

    view: str
    feature: str
    dtype: str

    max_age_s: float | None
    """The age from which a value is OUTSIDE_MAX_AGE; None for no such age."""

    @property
    def reference(self) -> str:
        """Feast's feature reference, `view:feature`."""
        return f"{self.view}:{self.feature}"

    @property
    def full_name(self) -> str:
        """Feast's full feature name, `view__feature`, which its replies have."""
        return f"{self.view}__{self.feature}"


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Some features of the contract in the order of the reply; compared by identity, so that it can key a read."""

    features: tuple[ContractFeature, ...]

    reordered: "FeatureSet | None" = field(default=None, repr=False)
    """The same features in the order in which they are read; None if that is this order."""

    @classmethod
    def of(cls, features: Iterable[ContractFeature]) -> "FeatureSet":
        """Return the set of some features, in their order; features that share a name get their full names."""
        chosen = tuple(features)
        count = Counter(feature.feature for feature in chosen)
        return cls(
            tuple(
                replace(feature, name=feature.full_name) if count[feature.feature] > 1 else feature
                for feature in chosen
            )
        )

    @property
    def read_set(self) -> "FeatureSet":
        """What reads are merged by: one object for the same features in whatever order."""
        return self if self.reordered is None else self.reordered

    @cached_property
    def read_positions(self) -> tuple[int, ...] | None:
        """Where each feature stands in a row of `read_set`; None if the order is the same."""
        positions = {reference: position for position, reference in enumerate(self.read_set.references)}
        found = tuple(positions[reference] for reference in self.references)
        return None if found == tuple(range(len(found))) else found

    @cached_property
    def references(self) -> list[str]:
        """The references that `feast serve` is asked for."""
        return [feature.reference for feature in self.features]

    @cached_property
    def any_max_age(self) -> bool:
        """Whether any of the features has a maximum age."""
        return any(feature.max_age_s is not None for feature in self.features)

    @cached_property
    def positions_by_view(self) -> tuple[tuple[int, ...], ...]:
        """The positions of each view's features, one tuple for each view: a view has a user's whole row or none."""
        views: dict[str, list[int]] = {}
        for position, feature in enumerate(self.features):
            views.setdefault(feature.view, []).append(position)
        return tuple(tuple(positions) for positions in views.values())


class ReadSets:
    """Finds the order in which features are read, so that all orders of the same features share their reads."""

    def __init__(self) -> None:
        """Create a finder that knows no features yet."""
        # Weak: a set is known for as long as anything reads by it.
        self._first: WeakValueDictionary[frozenset[tuple[str, str]], FeatureSet] = WeakValueDictionary()

    def share(self, feature_set: FeatureSet) -> FeatureSet:
        """Return the feature set, to be read in the order of the first set that had the same features."""
        key = frozenset((feature.reference, feature.dtype) for feature in feature_set.features)
        first = self._first.setdefault(key, feature_set)
        return feature_set if first is feature_set else replace(feature_set, reordered=first)


@dataclass(frozen=True)
class Contract:
    """The whole contract; `feature_set_of_service` and `feature_set_of_references` resolve selections without I/O."""

    hash: str
    join_key: str
    user_id_pattern: re.Pattern[str] | None
    services: Mapping[str, FeatureSet]
    views: Mapping[str, Mapping[str, ContractFeature]]
    """By view, then by feature."""

    read_sets: ReadSets = field(default_factory=ReadSets, repr=False, compare=False)
    """Where the services' feature sets are known too."""

    _sets_of_references: OrderedDict[tuple[str, ...], FeatureSet] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )
    """Those used last, the latest at the end."""

    @cached_property
    def feature_count(self) -> int:
        """How many features all views have."""
        return sum(len(features) for features in self.views.values())

    def feature_set_of_service(self, name: str) -> FeatureSet:
        """Return a feature service's features; raise GatewayError if there is none."""
        if not name:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_SERVICE_EMPTY,
                "feature_service is empty; name one, or leave the selection out for the default",
                field=_SERVICE_FIELD,
            )
        if name not in self.services:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_SERVICE_UNKNOWN,
                f"There is no feature service {_shown(name)}; there are {listed(sorted(self.services))}.",
                field=_SERVICE_FIELD,
                metadata={"feature_service": _clipped(name)},
            )
        return self.services[name]

    def feature_set_of_references(self, references: Sequence[str]) -> FeatureSet:
        """Return the referenced features in the order given; raise GatewayError for one that is malformed or unknown.

        The references used last return the same object again. Whatever their order, `read_set` is the same object, so
        that their reads can be merged.
        """
        # First of all: a request may have a million references.
        if len(references) > self.feature_count:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_REFERENCES_TOO_MANY,
                f"There are {len(references)} references, and {self.feature_count} features in all.",
                field=_REFERENCES_FIELD,
                metadata={"max_references": str(self.feature_count)},
            )
        key = tuple(references)
        known = self._sets_of_references.get(key)
        if known is not None:
            self._sets_of_references.move_to_end(key)
            return known
        feature_set = self.read_sets.share(self._checked_set(key))
        self._sets_of_references[key] = feature_set
        if len(self._sets_of_references) > _MAX_REMEMBERED_SETS:
            self._sets_of_references.popitem(last=False)
        return feature_set

    def _checked_set(self, references: tuple[str, ...]) -> FeatureSet:
        if not references:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_REFERENCES_EMPTY,
                'feature_references is empty; list references such as "subs_profile_fv:monthly_fee", '
                "or leave the selection out for the default",
                field=_REFERENCES_FIELD,
            )
        seen: set[str] = set()
        for position, reference in enumerate(references):
            if reference in seen:
                raise GatewayError(
                    ErrorReason.ERROR_REASON_FEATURE_REFERENCE_DUPLICATE,
                    f"The reference {_shown(reference)} is given twice; once is enough.",
                    field=f"{_REFERENCES_FIELD}[{position}]",
                    metadata={"feature_reference": _clipped(reference)},
                )
            seen.add(reference)
        return FeatureSet.of(self._feature(reference, position) for position, reference in enumerate(references))

    def _feature(self, reference: str, position: int) -> ContractFeature:
        at = f"{_REFERENCES_FIELD}[{position}]"
        view, colon, name = reference.partition(":")
        if not (view and colon and name) or ":" in name:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_REFERENCE_MALFORMED,
                f'{_shown(reference)} is not a feature reference; write "feature_view:feature".',
                field=at,
                metadata={"feature_reference": _clipped(reference)},
            )
        features = self.views.get(view)
        if features is None:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_VIEW_UNKNOWN,
                f"There is no feature view {_shown(view)}; there are {listed(sorted(self.views))}.",
                field=at,
                metadata={"feature_reference": _clipped(reference), "feature_view": _clipped(view)},
            )
        feature = features.get(name)
        if feature is None:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_UNKNOWN,
                f"The feature view {view} has no feature {_shown(name)}; it has {listed([*features])}.",
                field=at,
                metadata={
                    "feature_reference": _clipped(reference),
                    "feature_view": view,
                    "feature": _clipped(name),
                },
            )
        return feature


_MAX_SHOWN = 100


def _clipped(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def _shown(text: str) -> str:
    return repr(_clipped(text))
