"""Says what differs between two contracts."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from feast_contract.errors import kind_name
from feast_contract.file import Contract

_KINDS = {
    "entities": "entity",
    "feature_views": "feature view",
    "on_demand_feature_views": "on-demand feature view",
    "feature_services": "feature service",
}


def differences(applied: Contract, other: Contract, *, name: str) -> list[str]:
    """Return a line for each difference between what is applied and another contract, which the lines call `name`."""
    ours, theirs = dict(_facts(applied)), dict(_facts(other))
    found: list[str] = []
    for label in sorted(ours.keys() | theirs.keys()):
        mine, yours = ours.get(label), theirs.get(label)
        parent = label.rpartition(", ")[0]
        whole = not parent or (parent in ours and parent in theirs)
        if mine != yours and whole:
            found.append(f"{label}: {_said(mine, yours, name)}")
    return found


def lacking(applied: Contract, other: Contract, *, name: str) -> list[str]:
    """Return a line for each thing of another contract that its readers would not find in what is applied.

    They need names, types and keys. What is applied may have more.
    """
    ours, theirs = dict(_needed(applied)), dict(_needed(other))
    return [
        f"{label}: {_said(ours.get(label), need, name)}" for label, need in theirs.items() if ours.get(label) != need
    ]


def _needed(contract: Contract) -> Iterator[tuple[str, str]]:
    """Yield what reads by a contract depend on, each with a label."""
    yield "project", contract["project"]
    for entity in contract["entities"]:
        yield f"entity {entity['name']}", f"{entity['join_key']} {entity['dtype']}"
    for view in contract["feature_views"]:
        yield f"feature view {view['name']}", " ".join(view["entities"])
        yield from _features_needed(f"feature view {view['name']}", view)
    for view in contract["on_demand_feature_views"]:
        yield f"on-demand feature view {view['name']}", json.dumps([view["mode"], view["singleton"], view["request"]])
        yield from _features_needed(f"on-demand feature view {view['name']}", view)
    for service in contract["feature_services"]:
        # Features of the others are asked for by view and name.
        if service["by_name"]:
            yield f"feature service {service['name']}", json.dumps([service["join_keys"], service["features"]])


def _features_needed(label: str, view: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for feature in view["features"]:
        yield f"{label}, feature {feature['name']}", feature["dtype"]


def _said(mine: str | None, yours: str | None, name: str) -> str:
    if mine is None:
        return f"not applied, in {name}"
    if yours is None:
        return f"applied, not in {name}"
    return f"applied is {mine}, in {name} is {yours}"


def _facts(contract: Contract) -> Iterator[tuple[str, str]]:
    """Yield what a contract says, each with a label; a label before ", " is of what the rest belongs to."""
    yield "project", contract["project"]
    for section, kind in _KINDS.items():
        for entry in contract[section]:
            yield from _facts_of(f"{kind} {entry['name']}", entry)
    for kind, texts in contract.get("descriptions", {}).items():
        for name, text in texts.items():
            yield f"description of {kind.replace('_', ' ')} {name}", json.dumps(text)
    for entry in contract["left_out"]:
        yield f"left out: {kind_name(entry['kind'])} {entry['name']}", entry["why"]


def _facts_of(label: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield label, json.dumps({name: value for name, value in entry.items() if name not in {"name", "features"}})
    features = entry.get("features")
    if features is None:
        return
    names = [_reference(feature) for feature in features]
    for name, feature in zip(names, features, strict=True):
        yield f"{label}, feature {name}", json.dumps(feature)
    yield f"{label}, order of features", " ".join(names)


def _reference(feature: Mapping[str, Any]) -> str:
    return f"{feature['as']}:{feature['name']}" if "as" in feature else str(feature["name"])
