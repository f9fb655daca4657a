"""What the contract defines, with what people wrote of it, for the page *Features*."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from feature_gateway.access.caller import Caller
from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.model import Contract
from feature_gateway.contract.views import ContractFeature, View

ENTITY, VIEW, ON_DEMAND, SERVICE = "entity", "feature view", "on-demand feature view", "feature service"
KINDS = (SERVICE, VIEW, ON_DEMAND, ENTITY)
_IN_NOTES = {ENTITY: "entity", VIEW: "feature_view", ON_DEMAND: "feature_view", SERVICE: "feature_service"}
_DESCRIBED_AS = {ENTITY: "entities", VIEW: "feature_views", ON_DEMAND: "feature_views", SERVICE: "feature_services"}
_PLAIN_NAME = re.compile(r"[\w.-]{1,80}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class FeatureEntry:
    """A feature, as its view or a service has it."""

    name: str
    view: str
    dtype: str
    description: str
    tags: Mapping[str, str]

    @property
    def texts(self) -> Iterator[str]:
        """All that a search looks through."""
        yield from (self.name, self.description, *self.tags, *self.tags.values())


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A definition."""

    kind: str
    name: str
    description: str
    owner: str
    tags: Mapping[str, str]

    columns: Sequence[Column] = ()
    """What names a row: join keys and request data."""

    features: Sequence[FeatureEntry] = ()
    max_age_s: float | None = None
    mode: str = ""
    """What an on-demand view's function is written in."""

    uses: Sequence[tuple[str, str]] = field(default=())
    """The kinds and names of the definitions that it stands on."""

    @property
    def anchor(self) -> str:
        """Where the page has it."""
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else _digest(self.name)
        return f"{self.kind.replace(' ', '-')}-{name}"

    @property
    def identity(self) -> tuple[str, str]:
        """What tells it from all others."""
        return self.kind, self.name

    @property
    def choice(self) -> str:
        """What *Look up* calls it; empty for what has no features that a key names."""
        if not self.features or not self.columns:
            return ""
        return f"service:{self.name}" if self.kind == SERVICE else f"view:{self.name}"

    def columns_of(self, kind: str) -> list[Column]:
        """Return the columns of a kind: join key or request data."""
        return [column for column in self.columns if column.kind.value == kind]

    def fits(self, words: Sequence[str]) -> bool:
        """Return whether each word is in one of its texts; words are in lower case."""
        texts = [self.name, self.kind, self.description, self.owner, *self.tags, *self.tags.values()]
        texts += [text for feature in self.features for text in feature.texts]
        texts += [column.name for column in self.columns]
        folded = [text.casefold() for text in texts]
        return all(any(word in text for text in folded) for word in words)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]


def catalogue_of(contract: Contract, caller: Caller) -> list[Entry]:
    """Return the definitions that a caller may read, by kind, sorted by name within each.

    A feature service that may be read names the views and entities that it stands on, as over gRPC.
    """
    views = [view for name, view in contract.views.items() if caller.may_read_view(name)]
    services = [name for name in contract.services if caller.may_read_service(name)]
    entries = [
        *(_service(contract, name) for name in services),
        *(_view(contract, view) for view in views),
    ]
    used = {name for entry in entries for kind, name in entry.uses if kind == ENTITY}
    entries += [
        _entry(contract, ENTITY, name, columns=(column,)) for name, column in contract.entities.items() if name in used
    ]
    return sorted(entries, key=lambda entry: (KINDS.index(entry.kind), entry.name))


def left_out_of(contract: Contract, caller: Caller) -> list[tuple[str, str, str]]:
    """Return the kind and name of what a contract leaves out and a caller could else read, and why."""
    may_read: dict[str, Callable[[str], bool]] = {
        "feature_service": caller.may_read_service,
        "feature_view": caller.may_read_view,
        "feature": lambda name: caller.may_read_view(name.partition(":")[0]),
    }
    return [
        (kind.replace("_", " "), name, why)
        for (kind, name), why in contract.left_out.items()
        if kind in may_read and may_read[kind](name)
    ]


def _entry(
    contract: Contract,
    kind: str,
    name: str,
    *,
    columns: Sequence[Column],
    features: Sequence[FeatureEntry] = (),
    uses: Iterable[tuple[str, str]] = (),
    max_age_s: float | None = None,
    mode: str = "",
) -> Entry:
    notes = contract.notes
    return Entry(
        kind=kind,
        name=name,
        description=notes.description(_DESCRIBED_AS[kind], name),
        owner=notes.owner(_IN_NOTES[kind], name),
        tags=notes.tags(_IN_NOTES[kind], name),
        columns=columns,
        features=features,
        uses=tuple(dict.fromkeys(uses)),
        max_age_s=max_age_s,
        mode=mode,
    )


def _view(contract: Contract, view: View) -> Entry:
    uses = [(VIEW, name) for name in view.source_views] or _entities(contract, view.columns)
    return _entry(
        contract,
        kind_of(view),
        view.name,
        columns=view.columns,
        features=_features(contract, view.features.values(), lambda feature: feature.feature),
        uses=uses,
        max_age_s=contract.max_ages[view.name],
        mode=view.mode or "",
    )


def _service(contract: Contract, name: str) -> Entry:
    found = contract.services[name]
    return _entry(
        contract,
        SERVICE,
        name,
        columns=found.columns,
        features=_features(contract, found.features, lambda feature: feature.name),
        uses=[(kind_of(contract.views[feature.view]), feature.view) for feature in found.features],
    )


def kind_of(view: View) -> str:
    """Return the kind of a view."""
    return ON_DEMAND if view.mode else VIEW


def _features(
    contract: Contract, features: Iterable[ContractFeature], name_of: Callable[[ContractFeature], str]
) -> list[FeatureEntry]:
    return [
        FeatureEntry(
            name=name_of(feature),
            view=feature.view,
            dtype=feature.dtype,
            description=contract.notes.description("features", feature.reference),
            tags=contract.notes.tags("feature", feature.reference),
        )
        for feature in features
    ]


def _entities(contract: Contract, columns: Iterable[Column]) -> list[tuple[str, str]]:
    keys = [column for column in columns if column.kind is ColumnKind.JOIN_KEY]
    return [(ENTITY, name) for name, column in contract.entities.items() if any(column is key for key in keys)]
