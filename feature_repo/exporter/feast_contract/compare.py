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
