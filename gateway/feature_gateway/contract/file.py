"""Loads the contract's file, and checks it against its hash and its own terms."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_gateway.contract.model import Contract, ContractFeature, FeatureSet, ReadSets
from feature_gateway.dtypes import DTYPES

CONTRACT_VERSION = 1


class ContractError(ValueError):
    """A contract file that can't be used; the message says why."""


def load_contract(path: Path) -> Contract:
    """Return the contract of a file; raise ContractError, with the reason, if the file can't be used."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ContractError(f"{path} can't be read ({error.strerror}); `offline apply` writes it") from error
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{path} is not JSON: {error}") from error
    try:
        return _parse(content)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError, re.error) as error:
        raise ContractError(f"{path} has not the form of a contract: {type(error).__name__}: {error}") from error


def _parse(content: dict[str, Any]) -> Contract:
    if content["version"] != CONTRACT_VERSION:
        raise ContractError(f"version {content['version']!r}, and this gateway reads version {CONTRACT_VERSION}")
    claimed = content.pop("hash")
    actual = _hash(content)
    if claimed != actual:
        raise ContractError(f"its hash is {claimed} and its content's {actual}: it was edited by hand or damaged")
    entity = content["entity"]
    if entity["dtype"] != "String":
        raise ContractError(f"the join key is {entity['dtype']}; user ids are String")
    views = {
        _text(view["name"]): {
            feature["name"]: _feature(view["name"], {**feature, "max_age_s": view["max_age_s"]})
            for feature in view["features"]
        }
        for view in content["feature_views"]
    }
    read_sets = ReadSets()
    services = {
        _text(service["name"]): read_sets.share(
            FeatureSet.of(_feature(feature["view"], feature) for feature in service["features"])
        )
        for service in content["feature_services"]
    }
    for name, feature_set in services.items():
        if not feature_set.features:
            raise ContractError(f"the feature service {name} has no features")
        for feature in feature_set.features:
            if feature.feature not in views.get(feature.view, {}):
                raise ContractError(f"the feature service {name} has {feature.reference}, which no view has")
    return Contract(
        hash=actual,
        join_key=_text(entity["join_key"]),
        user_id_pattern=re.compile(_text(entity["pattern"])) if entity["pattern"] else None,
        services=services,
        views=views,
        read_sets=read_sets,
    )


def _feature(view: str, entry: Mapping[str, Any]) -> ContractFeature:
    if entry["dtype"] not in DTYPES:
        raise ContractError(f"{view}:{entry['name']} is {entry['dtype']}, a type that the gateway does not serve")
    max_age_s = entry["max_age_s"]
    return ContractFeature(
        name=_text(entry["name"]),
        view=_text(view),
        feature=entry["name"],
        dtype=entry["dtype"],
        max_age_s=None if max_age_s is None else _seconds(max_age_s),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{value!r} is not a maximum age in seconds")
    return seconds


def _hash(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
