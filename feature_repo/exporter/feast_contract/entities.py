"""The entities of a contract: join keys, of the types that Feast encodes them by."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from feast_contract.definitions import UNKNOWN_TYPE, Definitions, Entity
from feast_contract.dtypes import JOIN_KEY_DTYPES, JOIN_KEYS_TAKEN
from feast_contract.left_out import ENTITY, LeftOut, Unservable


def servable(definitions: Definitions, left_out: LeftOut) -> dict[str, Entity]:
    """Return the entities that the gateway can serve, by name, with the types that Feast encodes join keys by."""
    found = {}
    for entity in definitions.entities:
        try:
            found[entity.name] = _checked(entity, _key_dtypes(entity, definitions))
        except Unservable as reason:
            left_out.add(ENTITY, entity.name, str(reason))
    return found


def entry(entity: Entity) -> dict[str, Any]:
    """Return the entity as a contract has it."""
    return {
        "name": entity.name,
        "join_key": entity.join_key,
        "dtype": entity.dtype,
        "pattern": entity.pattern,
    }


def _key_dtypes(entity: Entity, definitions: Definitions) -> Mapping[str, str]:
    """Return the type of the entity's join key in each view that is read online, by the view's name."""
    return {
        view.name: view.key_dtypes[entity.join_key]
        for view in definitions.views
        if entity.name in view.entities and view.online and view.enabled and entity.join_key in view.key_dtypes
    }


def _checked(entity: Entity, key_dtypes: Mapping[str, str]) -> Entity:
    # Feast writes and reads a row's key by the type of the view's column, from which the Entity's value_type may
    # differ. Int32 and Int64 are other bytes.
    dtypes = sorted(set(key_dtypes.values()))
    dtype = dtypes[0] if len(dtypes) == 1 else entity.dtype
    if dtype == UNKNOWN_TYPE:
        raise Unservable(_untyped(entity, key_dtypes))
    if dtype not in JOIN_KEY_DTYPES:
        raise Unservable(f"its join key {entity.join_key} is {dtype}; {JOIN_KEYS_TAKEN}")
    if entity.pattern is not None:
        try:
            re.compile(entity.pattern)
        except re.error as error:
            raise Unservable(f"its tag `pattern` is not a regular expression: {error}") from error
    return replace(entity, dtype=dtype)


def _untyped(entity: Entity, key_dtypes: Mapping[str, str]) -> str:
    if not key_dtypes:
        return f"no feature view says the type of its join key {entity.join_key}; give the Entity a value_type"
    said = ", ".join(f"{dtype} in {view}" for view, dtype in sorted(key_dtypes.items()))
    return f"its join key {entity.join_key} is {said}; give the Entity a value_type, and the sources that type"
