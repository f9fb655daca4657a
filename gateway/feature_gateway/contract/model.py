"""The contract: which features exist, their order and types, and how a request's selection resolves."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.clipping import listed
from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.feature_set import FeatureSet, ReadSets
from feature_gateway.contract.notes import Notes
from feature_gateway.contract.selection import feature_set_of
from feature_gateway.contract.views import ContractFeature, View
from feature_gateway.errors import GatewayError

_MAX_REMEMBERED_SETS = 1024
_SERVICE_FIELD = "feature_service"
_REFERENCES_FIELD = "feature_references.references"


@dataclass(frozen=True)
class Contract:
    """The whole contract; `feature_set_of_service` and `feature_set_of_references` resolve selections without I/O."""

    hash: str

    entities: Mapping[str, Column]
    """The join key of each entity."""

    services: Mapping[str, FeatureSet]

    views: Mapping[str, View]
    """Stored and on-demand views."""

    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Why definitions are not served, by kind (`feature_service` or `feature_view`) and name."""

    clashing: Mapping[str, GatewayError] = field(default_factory=dict)
    """Why feature services with clashing names are not served."""

    notes: Notes = field(default_factory=Notes, repr=False, compare=False)

    read_sets: ReadSets = field(default_factory=ReadSets, repr=False, compare=False)
    """Where the services' feature sets are known too."""

    _sets_of_references: OrderedDict[tuple[str, ...], FeatureSet] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )
    """Those used last, the latest at the end."""

    @cached_property
    def feature_count(self) -> int:
        """How many features all views have."""
        return sum(len(view.features) for view in self.views.values())

    @cached_property
    def max_ages(self) -> Mapping[str, float | None]:
        """The maximum age of each view in seconds; None for a view without one."""
        return {
            name: next((feature.max_age_s for feature in view.features.values()), None)
            for name, view in self.views.items()
        }

    @cached_property
    def request_names(self) -> frozenset[str]:
        """The names of all request data."""
        columns = (column for view in self.views.values() for column in view.columns)
        return frozenset(column.name for column in columns if column.kind is ColumnKind.REQUEST_DATA)

    def feature_set_of_service(self, name: str) -> FeatureSet:
        """Return a feature service's features; raise GatewayError if there is none."""
        if not name:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_SERVICE_EMPTY,
                "feature_service is empty; name one, or leave the selection out for the default",
                field=_SERVICE_FIELD,
            )
        if name in self.clashing:
            clash = self.clashing[name]
            raise GatewayError(clash.reason, clash.message, field=_SERVICE_FIELD, metadata=clash.metadata)
        if name not in self.services:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_SERVICE_UNKNOWN,
                f"There is no feature service {_shown(name)}; "
                f"{self._instead('feature_service', name, _there_are(self.services))}.",
                field=_SERVICE_FIELD,
                metadata={"feature_service": _clipped(name)},
            )
        return self.services[name]

    def feature_set_of_references(self, references: Sequence[str], *, field: str = _REFERENCES_FIELD) -> FeatureSet:
        """Return the referenced features in the order given; raise GatewayError for one that is malformed or unknown.

        `field` is the request field of the references.

        The references used last return the same object again. Whatever their order, `read_set` is the same object, so
        that their reads can be merged.
        """
        # First of all: a request may have a million references.
        if len(references) > self.feature_count:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_REFERENCES_TOO_MANY,
                f"There are {len(references)} references, and {self.feature_count} features in all.",
                field=field,
                metadata={"max_references": str(self.feature_count)},
            )
        key = tuple(references)
        known = self._sets_of_references.get(key)
        if known is not None:
            self._sets_of_references.move_to_end(key)
            return known
        feature_set = self.read_sets.share(self._checked_set(key, field))
        self._sets_of_references[key] = feature_set
        if len(self._sets_of_references) > _MAX_REMEMBERED_SETS:
            self._sets_of_references.popitem(last=False)
        return feature_set

    def default_feature_set(self, *, feature_service: str, user_entity: str) -> FeatureSet | None:
        """Return what a request gets that selects nothing: a feature service's features.

        Without a name, it is the only service that needs nothing but the key of an entity; None if there are several
        or none. Raises GatewayError if there is no service of the name.
        """
        if feature_service:
            return self.feature_set_of_service(feature_service)
        column = self.entities.get(user_entity)
        found = [feature_set for feature_set in self.services.values() if feature_set.columns == (column,)]
        return found[0] if len(found) == 1 else None

    def _checked_set(self, references: tuple[str, ...], field: str) -> FeatureSet:
        if not references:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_REFERENCES_EMPTY,
                'feature_references is empty; list references such as "feature_view:feature", '
                "or leave the selection out for the default",
                field=field,
            )
        seen: set[str] = set()
        for position, reference in enumerate(references):
            if reference in seen:
                raise GatewayError(
                    ErrorReason.ERROR_REASON_FEATURE_REFERENCE_DUPLICATE,
                    f"The reference {_shown(reference)} is given twice; once is enough.",
                    field=f"{field}[{position}]",
                    metadata={"feature_reference": _clipped(reference)},
                )
            seen.add(reference)
        features = [self._feature(reference, f"{field}[{position}]") for position, reference in enumerate(references)]
        return feature_set_of(features, self.views)

    def _feature(self, reference: str, at: str) -> ContractFeature:
        name, colon, feature_name = reference.partition(":")
        if not (name and colon and feature_name) or ":" in feature_name:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_REFERENCE_MALFORMED,
                f'{_shown(reference)} is not a feature reference; write "feature_view:feature".',
                field=at,
                metadata={"feature_reference": _clipped(reference)},
            )
        view = self.views.get(name)
        if view is None:
            bare, at_sign, _ = name.partition("@")
            known = (
                f"the gateway takes no versions; write {_shown(f'{bare}:{feature_name}')} for the one that is served"
                if at_sign and bare in self.views
                else _there_are(self.views)
            )
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_VIEW_UNKNOWN,
                f"There is no feature view {_shown(name)}; {self._instead('feature_view', name, known)}.",
                field=at,
                metadata={"feature_reference": _clipped(reference), "feature_view": _clipped(name)},
            )
        feature = view.features.get(feature_name)
        if feature is None:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_UNKNOWN,
                f"The feature view {name} has no feature {_shown(feature_name)}; "
                f"{self._instead('feature', reference, f'it has {listed([*view.features])}')}.",
                field=at,
                metadata={
                    "feature_reference": _clipped(reference),
                    "feature_view": name,
                    "feature": _clipped(feature_name),
                },
            )
        return feature

    def _instead(self, kind: str, name: str, known: str) -> str:
        """Say why the contract leaves a definition out, or else what is known."""
        if (kind, name) in self.left_out:
            return f"the contract leaves it out: {self.left_out[kind, name].rstrip('.')}"
        return known


_MAX_SHOWN = 100


def _there_are(names: Iterable[str]) -> str:
    return f"there are {listed(sorted(names))}"


def _clipped(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def _shown(text: str) -> str:
    return repr(_clipped(text))
