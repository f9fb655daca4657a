"""What a test server serves: feature views, feature services and the key of users, and what a call selects of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streamflow_features._reasons import ErrorReason
from streamflow_features.testing._refused import refused

DEFAULT_VIEW = "user_fv"
"""The feature view of features that are given by their bare names, without a contract."""

DEFAULT_SERVICE = "user_v1"
"""The feature service that is described without a contract."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of a feature view."""

    view: str
    name: str
    dtype: str
    max_age_s: float | None = None
    alias: str = ""
    """What a feature service calls the view instead of its name."""

    @property
    def reference(self) -> str:
        """Feast's feature reference."""
        return f"{self.view}:{self.name}"

    @property
    def full_name(self) -> str:
        """Feast's full feature name."""
        return f"{self.alias or self.view}__{self.name}"


@dataclass(frozen=True, slots=True)
class View:
    """A feature view, stored or on-demand."""

    features: dict[str, Feature] = field(default_factory=dict)
    join_keys: Sequence[str] = ()
    request_data: Mapping[str, str] = field(default_factory=dict)
    """The type of each request data."""

    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """The join key whose values are user ids."""

    name: str = "user_id"
    dtype: str = "String"
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Features in the order of a reply, with what they are asked for by."""

    features: Sequence[Feature]
    names: Sequence[str]
    """The features' names in a reply."""

    join_keys: frozenset[str]
    request_data: Mapping[str, str]
    """The type of each request data."""

    any_request_data: bool = False
    """Whether calls may have any request data."""


@dataclass(slots=True, kw_only=True)
class Definitions:
    """The definitions of a contract; or, if they are open, what the users' features show."""

    contract_hash: str
    key: Key
    views: dict[str, View]
    services: Mapping[str, Sequence[Feature]]
    default_service: str | None = None
    is_open: bool = False
    """Whether there is no contract: feature services are whatever calls name, each has all
    features, and users add features."""

    def service_names(self) -> list[str]:
        """Return the names of the feature services, in order."""
        return [DEFAULT_SERVICE] if self.is_open else sorted(self.services)

    def request_names(self) -> set[str]:
        """Return the names of all request data."""
        return {name for view in self.views.values() for name in view.request_data}

    def of_service(self, name: str) -> Selection:
        """Return a feature service's features. Raises InvalidArgument or NotFound."""
        if not name:
            raise refused(
                ErrorReason.FEATURE_SERVICE_EMPTY, "feature_service is empty; name one, or leave the selection out."
            )
        if self.is_open:
            return self._selection([feature for view in self.views.values() for feature in view.features.values()])
        if name not in self.services:
            raise refused(
                ErrorReason.FEATURE_SERVICE_UNKNOWN,
                f"There is no feature service {name!r}; there are {', '.join(sorted(self.services))}.",
                feature_service=name,
            )
        return self._selection(self.services[name])

    def of_references(self, references: Sequence[str]) -> Selection:
        """Return the referenced features in the order given. Raises InvalidArgument or NotFound."""
        count = sum(len(view.features) for view in self.views.values())
        if len(references) > count:
            raise refused(
                ErrorReason.FEATURE_REFERENCES_TOO_MANY,
                f"There are {len(references)} references, and {count} features in all.",
                max_references=str(count),
            )
        if not references:
            raise refused(
                ErrorReason.FEATURE_REFERENCES_EMPTY,
                'feature_references is empty; list references such as "feature_view:feature".',
            )
        for position, reference in enumerate(references):
            if reference in references[:position]:
                raise refused(
                    ErrorReason.FEATURE_REFERENCE_DUPLICATE,
                    f"The reference {reference!r} is given twice; once is enough.",
                    feature_reference=reference,
                )
        return self._selection([self._referenced(reference) for reference in references])

    def of_default(self) -> Selection:
        """Return what a call gets that selects nothing. Raises InvalidArgument."""
        if self.default_service is not None or self.is_open:
            return self.of_service(self.default_service or DEFAULT_SERVICE)
        found = [self._selection(features) for features in self.services.values()]
        alone = [one for one in found if one.join_keys == {self.key.name} and not one.request_data]
        if len(alone) != 1:
            raise refused(
                ErrorReason.FEATURE_SERVICE_EMPTY,
                "The request selects nothing, and there is no default feature service; name one.",
            )
        return alone[0]

    def named(self, name: str) -> Feature:
        """Return the feature that a test gives by its reference, full name or bare name. Raises ValueError.

        Open definitions get a feature that they don't have.
        """
        view, colon, bare = name.partition(":")
        if self.is_open:
            given = (view, bare) if colon else (DEFAULT_VIEW, name)
            known = self.views.setdefault(given[0], View(join_keys=(self.key.name,)))
            return known.features.setdefault(given[1], Feature(*given, dtype=""))
        features = [feature for one in self.views.values() for feature in one.features.values()]
        found = [one for one in features if name in {one.reference, one.full_name}]
        found = found or [one for one in features if one.name == name]
        if len(found) != 1:
            choices = f"give one of {', '.join(one.reference for one in found)}" if found else "the contract has none"
            raise ValueError(f"There is not one feature {name!r}: {choices}.")
        return found[0]

    def _referenced(self, reference: str) -> Feature:
        name, colon, bare = reference.partition(":")
        if not (name and colon and bare) or ":" in bare:
            raise refused(
                ErrorReason.FEATURE_REFERENCE_MALFORMED,
                f'{reference!r} is not a feature reference; write "feature_view:feature".',
                feature_reference=reference,
            )
        # Without a contract, what is given by its bare name is in any view.
        view = self.views.get(name) or (self.views.get(DEFAULT_VIEW) if self.is_open else None)
        if view is None:
            raise refused(
                ErrorReason.FEATURE_VIEW_UNKNOWN,
                f"There is no feature view {name!r}; there are {', '.join(sorted(self.views))}.",
                feature_reference=reference,
                feature_view=name,
            )
        if bare not in view.features:
            raise refused(
                ErrorReason.FEATURE_UNKNOWN,
                f"The feature view {name} has no feature {bare!r}; it has {', '.join(view.features)}.",
                feature_reference=reference,
                feature_view=name,
                feature=bare,
            )
        return view.features[bare]

    def _selection(self, features: Sequence[Feature]) -> Selection:
        times = Counter(feature.name for feature in features)
        names = [feature.full_name if times[feature.name] > 1 else feature.name for feature in features]
        views = [self.views[feature.view] for feature in features]
        join_keys = frozenset(key for view in views for key in view.join_keys)
        request_data = {name: dtype for view in views for name, dtype in view.request_data.items()}
        return Selection(features, names, join_keys, request_data, any_request_data=self.is_open)
