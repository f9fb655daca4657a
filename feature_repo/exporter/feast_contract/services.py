"""The feature services of a contract."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feast_contract.definitions import Entity, Field, OnDemandView, Projection, Service, View
from feast_contract.left_out import FEATURE, FEATURE_SERVICE, FEATURE_VIEW, ON_DEMAND_FEATURE_VIEW, LeftOut, Unservable


def servable(
    services: Iterable[Service],
    entities: Mapping[str, Entity],
    views: Mapping[str, View],
    on_demand_views: Mapping[str, OnDemandView],
    left_out: LeftOut,
) -> dict[str, dict[str, Any]]:
    """Return the feature services that the gateway can serve as a contract has them, by name."""
    parts = _Parts(entities, views, on_demand_views, left_out)
    found = {}
    for service in services:
        try:
            found[service.name] = parts.entry(service)
        except Unservable as reason:
            left_out.add(FEATURE_SERVICE, service.name, str(reason))
    return found


class _Parts:
    """What feature services are made of."""

    def __init__(
        self,
        entities: Mapping[str, Entity],
        views: Mapping[str, View],
        on_demand_views: Mapping[str, OnDemandView],
        left_out: LeftOut,
    ) -> None:
        self._entities = entities
        self._views = views
        self._on_demand_views = on_demand_views
        self._left_out = left_out

    def entry(self, service: Service) -> dict[str, Any]:
        """Return a service as a contract has it. Raises Unservable."""
        features = [
            self._feature(projection, name) for projection in service.projections for name in projection.features
        ]
        if not features:
            raise Unservable("it has no features; give it some")
        _check_once(features)
        _check_aliases(service)
        _check_names(projection for top in service.projections for projection in self._read(top))
        join_keys = self._join_keys(service)
        self._check_request(service, join_keys)
        if not join_keys and not any(self._request(projection) for projection in service.projections):
            raise Unservable("its views have no entity; add a feature of a view with one, whose join key names a row")
        return {
            "name": service.name,
            "by_name": any(projection.renamed for projection in service.projections),
            "join_keys": [{"name": name, "entity": entity.name} for name, entity in join_keys.items()],
            "features": features,
        }

    def _feature(self, projection: Projection, name: str) -> dict[str, Any]:
        view = self._view(projection)
        dtypes = {feature.name: feature.dtype for feature in view.features}
        if name not in dtypes:
            reference = f"{view.name}:{name}"
            how = "left out" if self._left_out.why(FEATURE, reference) else "not applied; apply the definitions again"
            raise Unservable(f"its feature {reference} is {how}")
        return {
            "view": view.name,
            "as": projection.alias,
            "name": name,
            "dtype": dtypes[name],
            "max_age_s": view.max_age_s if isinstance(view, View) else None,
        }

    def _view(self, projection: Projection) -> View | OnDemandView:
        if projection.version is not None:
            raise Unservable(f"it pins version {projection.version} of {projection.view}; take the view without one")
        view = self._views.get(projection.view) or self._on_demand_views.get(projection.view)
        if view is None:
            kinds = (FEATURE_VIEW, ON_DEMAND_FEATURE_VIEW)
            known = any(self._left_out.why(kind, projection.view) for kind in kinds)
            raise Unservable(f"its view {projection.view} is {'left out' if known else 'not applied; apply it'}")
        return view

    def _join_keys(self, service: Service) -> dict[str, Entity]:
        """Return the columns that a row of the service has to give, with their entities, in the order of a request.

        That is the order of first use, and columns of a join-key map at the end.
        """
        columns: dict[str, Entity] = {}
        for projection in service.projections:
            for column, entity in self._keys_of(projection):
                first = columns.setdefault(column, entity)
                if first.dtype != entity.dtype:
                    raise Unservable(
                        f"its join key {column} is {first.dtype} for the entity {first.name} and {entity.dtype} for "
                        f"{entity.name}; give one of the views a join-key map"
                    )
        # To a view with a join-key map Feast gives its own column too, if there is one, and the column given last wins.
        maps = [projection.join_key_map for projection in service.projections]
        mapped = {column for columns_by_key in maps for column in columns_by_key.values()}
        order = sorted(columns, key=lambda column: column in mapped)
        for key, column in (pair for columns_by_key in maps for pair in columns_by_key.items()):
            if key in columns and order.index(key) > order.index(column):
                raise Unservable(f"its join-key maps make {column} of {key}, and need {key} too; map to a new name")
        return {column: columns[column] for column in order}

    def _keys_of(self, projection: Projection) -> Iterator[tuple[str, Entity]]:
        for read in self._read(projection):
            for name in self._views[read.view].entities:
                entity = self._entities[name]
                yield read.join_key_map.get(entity.join_key, entity.join_key), entity

    def _read(self, projection: Projection) -> tuple[Projection, ...]:
        """Return what is read from the online store for a projection: itself, or an on-demand view's sources."""
        view = self._view(projection)
        return view.sources if isinstance(view, OnDemandView) else (projection,)

    def _request(self, projection: Projection) -> tuple[Field, ...]:
        view = self._view(projection)
        return view.request if isinstance(view, OnDemandView) else ()

    def _check_request(self, service: Service, join_keys: Mapping[str, Entity]) -> None:
        """Raise Unservable if one column would have two meanings."""
        dtypes: dict[str, str] = {}
        for projection in service.projections:
            for field in self._request(projection):
                if field.name in join_keys:
                    raise Unservable(
                        f"{field.name} is request data of {projection.view} and a join key; rename the request data"
                    )
                if dtypes.setdefault(field.name, field.dtype) != field.dtype:
                    raise Unservable(
                        f"its on-demand feature views have request data {field.name} of two types, "
                        f"{dtypes[field.name]} and {field.dtype}; give both one type"
                    )


def _check_once(features: Iterable[Mapping[str, Any]]) -> None:
    for (alias, name), count in Counter((feature["as"], feature["name"]) for feature in features).items():
        if count > 1:
            raise Unservable(f"it has the feature {alias}:{name} {count} times; once is enough")


def _check_names(projections: Iterable[Projection]) -> None:
    """Raise Unservable if Feast would read two projections as one, by the first's join keys."""
    first: dict[str, Projection] = {}
    for projection in projections:
        known = first.setdefault(projection.alias, projection)
        if (known.view, known.join_key_map) != (projection.view, projection.join_key_map):
            raise Unservable(
                f"it has two views of the name {projection.alias} with other join keys; give one an alias by with_name"
            )


def _check_aliases(service: Service) -> None:
    """Raise Unservable if Feast can't sort the projections, which it does by view and alias."""
    plain = {projection.view for projection in service.projections if projection.alias == projection.view}
    named = {projection.view for projection in service.projections if projection.alias != projection.view}
    for view in sorted(plain & named):
        raise Unservable(f"it has the view {view} with an alias and without one; give each an alias by with_name")
