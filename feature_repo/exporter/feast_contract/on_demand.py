"""The on-demand feature views of a contract."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from feast_contract.definitions import Entity, OnDemandView, Projection, View
from feast_contract.dtypes import REQUEST_DTYPES, REQUEST_TAKEN
from feast_contract.left_out import FEATURE_VIEW, ON_DEMAND_FEATURE_VIEW, LeftOut, Unservable
from feast_contract.views import servable_features

_MODES = ("pandas", "python")


def servable(
    on_demand_views: Iterable[OnDemandView],
    views: Mapping[str, View],
    entities: Mapping[str, Entity],
    left_out: LeftOut,
) -> dict[str, OnDemandView]:
    """Return the on-demand views that the gateway can serve, by name, with the features that it can serve.

    Of their sources they keep the features that the gateway can read.
    """
    found = {}
    for view in on_demand_views:
        try:
            _check(view)
            sources = tuple(_readable(source, views, left_out) for source in view.sources)
            _check_columns(view, [entities[name] for source in sources for name in views[source.view].entities])
            found[view.name] = replace(
                view,
                sources=sources,
                features=servable_features(view.name, view.features, left_out),
            )
        except Unservable as reason:
            left_out.add(ON_DEMAND_FEATURE_VIEW, view.name, str(reason))
    return found


def entry(view: OnDemandView) -> dict[str, Any]:
    """Return the on-demand view as a contract has it."""
    return {
        "name": view.name,
        "mode": view.mode,
        "singleton": view.singleton,
        "row_by_row": view.row_by_row,
        "inputs": [{"view": source.view, "name": name} for source in view.sources for name in source.features],
        "request": [{"name": field.name, "dtype": field.dtype} for field in view.request],
        "features": [{"name": feature.name, "dtype": feature.dtype} for feature in view.features],
    }


def _check(view: OnDemandView) -> None:
    if not view.enabled:
        raise Unservable(f"it is disabled; enable it with `feast feature-views enable {view.name}`")
    if view.stored:
        raise Unservable(
            "it is written to the online store; the gateway serves on-demand feature views that are computed when they "
            "are read: leave out write_to_online_store"
        )
    if view.mode not in _MODES:
        raise Unservable(f"its mode is {view.mode}; the gateway serves the modes pandas and python")
    if view.aggregates:
        raise Unservable("it has aggregations; the gateway serves on-demand feature views with a function")
    for field in view.request:
        if field.dtype not in REQUEST_DTYPES:
            raise Unservable(f"its request data {field.name} is {field.dtype}; {REQUEST_TAKEN}")
    for source in view.sources:
        if source.renamed or source.version is not None:
            raise Unservable(
                f"its source {source.view} has an alias, a join-key map or a version; give it the feature view as it is"
            )


def _check_columns(view: OnDemandView, entities: Iterable[Entity]) -> None:
    """Raise Unservable if one column of a request would have two meanings, or if no row is named."""
    first: dict[str, Entity] = {}
    for entity in entities:
        known = first.setdefault(entity.join_key, entity)
        if known.dtype != entity.dtype:
            raise Unservable(
                f"the join key {entity.join_key} of its sources is {known.dtype} for the entity {known.name} and "
                f"{entity.dtype} for {entity.name}; rename one of them"
            )
    for field in view.request:
        if field.name in first:
            raise Unservable(f"its request data {field.name} has the name of a join key; rename the request data")
    if view.sources and not first:
        raise Unservable("its sources have no entity; give one of them an entity, whose join key names a row")


def _readable(source: Projection, views: Mapping[str, View], left_out: LeftOut) -> Projection:
    """Return the source with the features that the gateway can read, sorted by name. Raises Unservable without one."""
    if source.view not in views:
        how = "left out" if left_out.why(FEATURE_VIEW, source.view) else "not an applied feature view; apply it"
        raise Unservable(f"its source {source.view} is {how}")
    known = {feature.name for feature in views[source.view].features}
    readable = tuple(sorted(known.intersection(source.features)))
    if not readable:
        raise Unservable(f"of its source {source.view} it takes no feature that the gateway serves")
    return replace(source, features=readable)
