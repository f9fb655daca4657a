"""What a selection of features means in Redis, found once for each selection and registry.

The features, their views and the types of the join keys are resolved by Feast's own code, and so are keys that
`KeyEncoder` does not make: Feast's errors are those of /get-online-features.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feast import FeatureStore, utils
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.redis import _versioned_fv_name

from streamflow_repo.server.rows.keys import VERSION, KeyEncoder

_utils: Any = utils

Columns = Mapping[str, Sequence[Any]]
"""Join keys, each with its values, one for each row."""

_Entity = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]


class NotStoredError(Exception):
    """The selection has features that no online store holds."""


@dataclass(frozen=True)
class Hash:
    """What is read of the hash of each row: the fields of all views that have the same entities."""

    table: Any
    """One of these views."""

    fields: tuple[bytes, ...]

    encoder: KeyEncoder | None
    """None where Feast's own code makes the keys."""


@dataclass(frozen=True)
class Plan:
    """How a selection is read."""

    references: list[str]
    views: list[str]
    """The views, in the order of a row's event timestamps."""

    hashes: list[Hash]

    order: list[tuple[int, int]]
    """For each column of a row the number of its hash and of its field."""

    sizes: dict[str, int]
    """How many features are read of each view of the registry."""

    def rows(self, found: list[list[Any]]) -> list[Any]:
        """Return the rows, from what was read of each hash, a list a row."""
        if len(found) == 1:
            return found[0]
        return [[parts[at][field] for at, field in self.order] for parts in zip(*found, strict=True)]

    def keys(self, store: FeatureStore, columns: Columns) -> list[list[bytes]]:
        """Return for each hash the key of each row; raise what Feast raises for columns that name no rows."""
        lengths = {len(values) for values in columns.values()}
        if len(lengths) == 1 and 0 not in lengths:
            try:
                return [hash_.encoder.keys(columns) for hash_ in self.hashes]  # type: ignore[union-attr]  # caught
            except (AttributeError, KeyError, TypeError, UnicodeEncodeError, struct.error):
                pass
        return list(self._feasts_keys(store, columns))

    def _feasts_keys(self, store: FeatureStore, columns: Columns) -> Iterator[list[bytes]]:
        config = store.config
        values, _, names, *_ = _utils._prepare_entities_to_read_from_online_store(  # noqa: SLF001  # Feast's own rules
            registry=store.registry,
            project=store.project,
            features=self.references,
            entity_values=columns,
            full_feature_names=True,
        )
        project = store.project.encode()
        for hash_ in self.hashes:
            entities, indexes, count = _utils._get_unique_entities(hash_.table, values, names)  # noqa: SLF001  # the same
            keys = [b""] * count
            for entity, positions in zip(_utils._get_entity_key_protos(entities), indexes, strict=True):  # noqa: SLF001  # the same
                key = serialize_entity_key(entity, config.entity_key_serialization_version) + project
                for position in positions:
                    keys[position] = key
            yield keys


def plan_of(store: FeatureStore, references: list[str]) -> Plan:
    """Return how the references `view:feature` are read.

    Raises what Feast raises for references that it can't serve, and NotStoredError.
    """
    context = _utils._get_online_request_context(store.registry, store.project, references, True)  # noqa: SLF001  # as above
    _, on_demand, join_keys, types, _, grouped, *_ = context
    tables = {table.projection.name_to_use(): table for table, _ in grouped}
    asked = [_parsed(reference) for reference in references]
    if on_demand:
        raise NotStoredError("On-demand feature views are not stored; ask /get-online-features")
    views: dict[str, list[str]] = {}
    for view, feature in asked:
        views.setdefault(view, []).append(feature)
    by_entity: dict[_Entity, dict[tuple[str, str | None], bytes]] = {}
    where: dict[str, _Entity] = {}
    for view in views:
        # Two views may have the same entity under different names.
        table = tables[view]
        where[view] = (tuple(table.entities), tuple(sorted(table.projection.join_key_map.items())))
        by_entity.setdefault(where[view], {})[view, None] = f"_ts:{_versioned_fv_name(table, store.config)}".encode()
    for view, feature in asked:
        name = f"{_versioned_fv_name(tables[view], store.config)}:{feature}"
        by_entity[where[view]][view, feature] = _mmh3(name)
    numbers = {entity: number for number, entity in enumerate(by_entity)}
    places = {cell: (numbers[entity], at) for entity, fields in by_entity.items() for at, cell in enumerate(fields)}
    cells: list[tuple[str, str | None]] = [*((view, None) for view in views), *asked]
    hashes = []
    for fields in by_entity.values():
        table = tables[next(iter(fields))[0]]
        encoder = _encoder(store, table, join_keys, types)
        hashes.append(Hash(table, tuple(fields.values()), encoder))
    sizes = {tables[view].name: len(features) for view, features in views.items()}
    return Plan(references, list(views), hashes, [places[cell] for cell in cells], sizes)


def _parsed(reference: str) -> tuple[str, str]:
    """Return the name of the view, with its version if the reference has one, and that of the feature."""
    view, version, feature = _utils._parse_feature_ref(reference)  # noqa: SLF001  # as above
    return view if version is None else f"{view}@v{version}", feature


def _encoder(
    store: FeatureStore, table: Any, join_keys: Mapping[str, str], types: Mapping[str, Any]
) -> KeyEncoder | None:
    """Return what makes the keys of a view's rows; None where Feast has to."""
    if store.config.entity_key_serialization_version != VERSION or table.projection.join_key_map:
        return None
    try:
        return KeyEncoder([join_keys[entity] for entity in table.entities], types, project=store.project)
    except KeyError:
        return None
