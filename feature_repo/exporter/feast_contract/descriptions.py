"""The descriptions of a contract: what people wrote of definitions. They are no part of the hash."""

from collections.abc import Iterable, Mapping

from feast_contract.definitions import Entity, OnDemandView, Service, View
from feast_contract.left_out import ENTITY, FEATURE, FEATURE_SERVICE, FEATURE_VIEW

Descriptions = dict[str, dict[str, str] | dict[str, dict[str, str]]]


def descriptions(
    entities: Mapping[str, Entity],
    views: Mapping[str, View],
    on_demand_views: Mapping[str, OnDemandView],
    services: Iterable[Service],
) -> Descriptions:
    """Return the descriptions, owners and tags of what is served, sorted; what has none is left out.

    Descriptions are by kind and name. Owners and tags are by name, behind the definition's kind and a blank.
    """
    both: list[View | OnDemandView] = [*views.values(), *on_demand_views.values()]
    owned: list[tuple[str, Entity | View | OnDemandView | Service]] = [
        *((ENTITY, entity) for entity in entities.values()),
        *((FEATURE_VIEW, view) for view in both),
        *((FEATURE_SERVICE, service) for service in services),
    ]
    features = {f"{view.name}:{one.name}": one for view in both for one in view.features}
    texts = {
        "entities": {one.name: one.description for kind, one in owned if kind == ENTITY},
        "feature_services": {one.name: one.description for kind, one in owned if kind == FEATURE_SERVICE},
        "feature_views": {view.name: view.description for view in both},
        "features": {name: one.description for name, one in features.items()},
        "request_data": {
            f"{view.name}:{one.name}": one.description for view in on_demand_views.values() for one in view.request
        },
        "owners": {f"{kind} {one.name}": one.owner for kind, one in owned},
    }
    tags = {f"{kind} {one.name}": one.tags for kind, one in owned}
    tags |= {f"{FEATURE} {name}": one.tags for name, one in features.items()}
    return {
        **{kind: {name: text for name, text in sorted(of_kind.items()) if text} for kind, of_kind in texts.items()},
        "tags": {name: dict(sorted(some.items())) for name, some in sorted(tags.items()) if some},
    }
