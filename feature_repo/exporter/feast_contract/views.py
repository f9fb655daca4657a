"""The feature views of a contract."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from feast_contract.definitions import Entity, Field, View
from feast_contract.dtypes import FEATURE_DTYPES, FEATURES_TAKEN
from feast_contract.left_out import ENTITY, FEATURE, FEATURE_VIEW, LeftOut, Unservable


def servable(views: Iterable[View], entities: Mapping[str, Entity], left_out: LeftOut) -> dict[str, View]:
    """Return the feature views that the gateway can serve, by name, with the features that it can serve."""
    found = {}
    for view in views:
        try:
            _check(view, entities, left_out)
            keys = {entities[name].join_key for name in view.entities}
            # Feast 0.67 takes a stream view's join keys for features, and what it returns for them overwrites the keys.
            features = [feature for feature in view.features if feature.name not in keys]
            found[view.name] = replace(view, features=servable_features(view.name, features, left_out))
        except Unservable as reason:
            left_out.add(FEATURE_VIEW, view.name, str(reason))
    return found


def servable_features(view: str, features: Iterable[Field], left_out: LeftOut) -> tuple[Field, ...]:
    """Return the features that the gateway can serve. Raises Unservable if there is none."""
    found = []
    for feature in features:
        if feature.dtype in FEATURE_DTYPES:
            found.append(feature)
        else:
            left_out.add(FEATURE, f"{view}:{feature.name}", f"it is {feature.dtype}; {FEATURES_TAKEN}")
    if not found:
        raise Unservable(f"it has no feature of a type that can be served; {FEATURES_TAKEN}")
    return tuple(found)


def entry(view: View) -> dict[str, Any]:
    """Return the view as a contract has it."""
    return {
        "name": view.name,
        "entities": [*view.entities],
        "max_age_s": view.max_age_s,
        "features": [{"name": feature.name, "dtype": feature.dtype} for feature in view.features],
    }


def _check(view: View, entities: Mapping[str, Entity], left_out: LeftOut) -> None:
    if view.has_labels:
        raise Unservable("it is a label view; the gateway serves feature views and on-demand feature views")
    if not view.enabled:
        raise Unservable(f"it is disabled; enable it with `feast feature-views enable {view.name}`")
    if not view.online:
        raise Unservable("it is not online; give it online=True")
    for name in view.entities:
        if name not in entities:
            how = "left out" if left_out.why(ENTITY, name) else "not applied; apply it"
            raise Unservable(f"its entity {name} is {how}")
        entity = entities[name]
        dtype = view.key_dtypes.get(entity.join_key, entity.dtype)
        if dtype != entity.dtype:
            raise Unservable(
                f"its join key {entity.join_key} is {dtype}, and the entity {name} is {entity.dtype}: "
                "Feast would look for other keys than it wrote; give the column of the source and the Entity one type"
            )
