"""Definitions as a registry has them, as plain values without Feast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

UNKNOWN_TYPE = "Invalid"
"""Feast's name for the type of an Entity without a value_type."""


@dataclass(frozen=True)
class Field:
    """A feature, or a field of request data."""

    name: str

    dtype: str
    """Feast's name of the type, with lists as List(Int64)."""

    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Entity:
    """An entity, which has one join key."""

    name: str
    join_key: str

    dtype: str
    """The type of the join key; UNKNOWN_TYPE if the Entity has no value_type."""

    pattern: str | None
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class View:
    """A feature view, a stream feature view or a label view."""

    name: str
    entities: tuple[str, ...]

    key_dtypes: Mapping[str, str]
    """The type of each join key as this view reads and writes it, which is the type that Feast encodes keys by."""

    features: tuple[Field, ...]
    max_age_s: float | None
    online: bool
    enabled: bool
    has_labels: bool
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What a feature service, or an on-demand view, takes of a view."""

    view: str

    alias: str
    """The view's name if it has no alias."""

    join_key_map: Mapping[str, str]
    """The column of the request by the view's join key; empty if they are the same."""

    features: tuple[str, ...]

    version: int | None
    """The version of the view that is pinned."""

    @property
    def renamed(self) -> bool:
        """Whether it needs the feature service's name: a reference can't say an alias or a join-key map."""
        return self.alias != self.view or bool(self.join_key_map)


@dataclass(frozen=True, kw_only=True)
class OnDemandView:
    """An on-demand feature view."""

    name: str
    mode: str
    singleton: bool
    row_by_row: bool

    sources: tuple[Projection, ...]
    """What it takes of feature views, sorted by the view's name."""

    request: tuple[Field, ...]
    """The fields of its RequestSources, the sources sorted by name."""

    features: tuple[Field, ...]
    enabled: bool
    stored: bool
    """Whether its outputs are written to the online store."""

    aggregates: bool
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Service:
    """A feature service."""

    name: str
    projections: tuple[Projection, ...]
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """The definitions of a project."""

    project: str
    entities: Sequence[Entity]
    views: Sequence[View]
    on_demand_views: Sequence[OnDemandView]
    services: Sequence[Service]

    @property
    def empty(self) -> bool:
        """Whether nothing is applied that a contract would have."""
        return not (self.entities or self.views or self.on_demand_views or self.services)
