"""contract.json: what the gateway and its callers need to know of the definitions, without Feast."""

import argparse
import hashlib
import importlib
import json
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from feast import Entity, FeatureService, FeatureView, Field
from feast.feature_view_projection import FeatureViewProjection

from streamflow_repo import CONTRACT_PATH, PROJECT, definitions

CONTRACT_VERSION = 1

_Definition = TypeVar("_Definition", FeatureView, FeatureService)

_SCALARS = ("Bool", "Int32", "Int64", "Float32", "Float64", "String", "Bytes", "UnixTimestamp")
_SERVED_DTYPES = frozenset({*_SCALARS, *(f"List({of})" for of in _SCALARS)})


class ContractError(ValueError):
    """Definitions that the gateway can't serve; the message names the definition and what to change."""


def export_contract(path: Path = CONTRACT_PATH) -> dict[str, Any]:
    """Write the contract of the definitions in this package to `path` and return it.

    The file is replaced in one step, so that a gateway never reads half of it, whoever else exports to the same path.
    Raises ContractError.
    """
    contract = repo_contract()
    text = contract_text(contract)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        _replace(path, text)
    return contract


def _replace(path: Path, text: str) -> None:
    # A name of this export alone: two that write at once would otherwise move each other's file away.
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.new")
    try:
        with unfinished.open("x", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def repo_contract() -> dict[str, Any]:
    """Return the contract of the definitions in this package. Raises ContractError."""
    services = _definitions(FeatureService)
    from streamflow_repo.definitions.entities import user  # noqa: PLC0415  # loaded with the other definitions, not at import

    return build_contract(project=PROJECT, entity=user, views=repo_views().values(), services=services.values())


def repo_views() -> dict[str, FeatureView]:
    """Return the feature views that this package defines, by name."""
    return _definitions(FeatureView)


def build_contract(
    *, project: str, entity: Entity, views: Iterable[FeatureView], services: Iterable[FeatureService]
) -> dict[str, Any]:
    """Return the contract of some definitions, as JSON types.

    Views and services are sorted by name, features stand in definition order, `max_age_s` is null for a view without a
    ttl. `hash` is "sha256:" and the digest of everything else. Raises ContractError.
    """
    by_name = {view.name: view for view in views}
    content: dict[str, Any] = {
        "version": CONTRACT_VERSION,
        "project": project,
        "entity": {
            "name": entity.name,
            "join_key": entity.join_key,
            "dtype": entity.value_type.name.title(),
            "pattern": entity.tags.get("pattern"),
        },
        "feature_views": [_view_entry(by_name[name], entity) for name in sorted(by_name)],
        "feature_services": [
            _service_entry(service, by_name) for service in sorted(services, key=lambda service: str(service.name))
        ],
    }
    if content["entity"]["dtype"] != "String":
        raise ContractError(f"entity {entity.name!r} has a {content['entity']['dtype']} join key; user ids are String")
    return {**content, "hash": contract_hash(content)}


def contract_hash(content: dict[str, Any]) -> str:
    """Return the hash of a contract's content, all but its "hash" member."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def contract_text(contract: dict[str, Any]) -> str:
    """Return the contract as it stands in its file: indented, for review."""
    return json.dumps(contract, indent=2, ensure_ascii=False) + "\n"


def _definitions(kind: type[_Definition]) -> dict[str, _Definition]:
    return {
        str(value.name): value
        for module in _definition_modules()
        for value in vars(module).values()
        if isinstance(value, kind)
    }


def _definition_modules() -> Iterable[Any]:
    for module in pkgutil.iter_modules(definitions.__path__, f"{definitions.__name__}."):
        yield importlib.import_module(module.name)


def _view_entry(view: FeatureView, entity: Entity) -> dict[str, Any]:
    if view.entities != [entity.name]:
        raise ContractError(
            f"feature view {view.name!r} has the entities {view.entities}; "
            f"the gateway serves views of {entity.name!r} alone"
        )
    if not view.online:
        raise ContractError(f"feature view {view.name!r} is not online; give it online=True")
    return {
        "name": view.name,
        "max_age_s": _max_age_s(view),
        "features": [{"name": field.name, "dtype": _dtype(view.name, field)} for field in view.features],
    }


def _service_entry(service: FeatureService, views: dict[str, FeatureView]) -> dict[str, Any]:
    features = [
        _service_feature(service, projection, field, views)
        for projection in service.feature_view_projections
        for field in projection.features
    ]
    if not features:
        raise ContractError(f"feature service {service.name!r} has no features")
    return {"name": service.name, "features": features}


def _service_feature(
    service: FeatureService, projection: FeatureViewProjection, field: Field, views: dict[str, FeatureView]
) -> dict[str, Any]:
    view = views.get(projection.name)
    if view is None:
        raise ContractError(
            f"feature service {service.name!r} uses the view {projection.name!r}, which is no plain feature view here"
        )
    if (projection.name_alias or projection.name) != projection.name or projection.join_key_map:
        raise ContractError(
            f"feature service {service.name!r} renames the view {projection.name!r} or its join key, "
            "which an online read by reference can't express; use the view as it is"
        )
    return {
        "view": view.name,
        "name": field.name,
        "dtype": _dtype(view.name, field),
        "max_age_s": _max_age_s(view),
    }


def _dtype(view: str, field: Field) -> str:
    dtype = str(field.dtype).replace("Array(", "List(", 1)
    if dtype not in _SERVED_DTYPES:
        raise ContractError(
            f"feature {view}:{field.name} is {field.dtype}; the gateway serves {', '.join(sorted(_SERVED_DTYPES))}"
        )
    return dtype


def _max_age_s(view: FeatureView) -> float | None:
    return view.ttl.total_seconds() or None if view.ttl else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write contract.json, or with --check compare it with the definitions; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m streamflow_repo.contract", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if contract.json differs from the definitions")
    parser.add_argument("--path", type=Path, default=CONTRACT_PATH, help="the file to write; default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            export_contract(options.path)
            return 0
        expected = contract_text(repo_contract())
    except ContractError as error:
        sys.stderr.write(f"contract: {error}\n")
        return 1
    if not CONTRACT_PATH.exists() or CONTRACT_PATH.read_text(encoding="utf-8") != expected:
        sys.stderr.write("contract: contract.json differs from the definitions; write it again with `make contract`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
