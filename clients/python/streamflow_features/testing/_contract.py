"""Reads a contract file, version 2, or makes definitions without one."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamflow_features.testing._definitions import Definitions, Feature, Key, View

Contract = Mapping[str, Any] | str | Path
"""A contract's content, or its file."""

_VERSION = 2
_NO_CONTRACT = "sha256:" + "0" * 64


def definitions_of(
    contract: Contract | None, *, contract_hash: str | None, user_entity: str, default_service: str | None
) -> Definitions:
    """Return the definitions of a contract; without one, open definitions.

    Raises OSError for a file that can't be read, and ValueError for what is not a contract, or has no such entity.
    """
    if contract is None:
        return Definitions(contract_hash=contract_hash or _NO_CONTRACT, key=Key(), views={}, services={}, is_open=True)
    content = json.loads(Path(contract).read_text(encoding="utf-8")) if isinstance(contract, str | Path) else contract
    if content.get("version") != _VERSION:
        raise ValueError(f"A contract of version {_VERSION} is needed; this one has {content.get('version')!r}.")
    entities = {entity["name"]: entity for entity in content["entities"]}
    if user_entity not in entities:
        raise ValueError(f"The contract has no entity {user_entity!r}; give user_entity one of {', '.join(entities)}.")
    user = entities[user_entity]
    views = _views(content, {name: entity["join_key"] for name, entity in entities.items()})
    found = Definitions(
        contract_hash=contract_hash or content.get("hash") or _NO_CONTRACT,
        key=Key(user["join_key"], user["dtype"], user["pattern"]),
        views=views,
        services={
            service["name"]: [_of_service(part, views) for part in service["features"]]
            for service in content["feature_services"]
        },
        default_service=default_service,
    )
    if default_service is not None:
        found.of_default()
    return found


def _views(content: Mapping[str, Any], join_keys: Mapping[str, str]) -> dict[str, View]:
    views = {
        view["name"]: View(
            _features(view, max_age_s=view["max_age_s"]), tuple(join_keys[entity] for entity in view["entities"])
        )
        for view in content["feature_views"]
    }
    on_demand = {
        view["name"]: View(
            _features(view, max_age_s=None),
            tuple(dict.fromkeys(key for source in view["inputs"] for key in views[source["view"]].join_keys)),
            {part["name"]: part["dtype"] for part in view["request"]},
            on_demand=True,
        )
        for view in content["on_demand_feature_views"]
    }
    return views | on_demand


def _features(view: Mapping[str, Any], *, max_age_s: float | None) -> dict[str, Feature]:
    return {part["name"]: Feature(view["name"], part["name"], part["dtype"], max_age_s) for part in view["features"]}


def _of_service(part: Mapping[str, Any], views: Mapping[str, View]) -> Feature:
    feature = views[part["view"]].features[part["name"]]
    return feature if part["as"] == feature.view else replace(feature, alias=part["as"])
