"""The feature services of a contract's file, as far as typed features need them."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CONTRACT_VERSION = 2


class CodegenError(Exception):
    """No module can be written; the message says why."""


@dataclass(frozen=True, slots=True)
class ContractFeature:
    """A feature of a feature service."""

    name: str
    """The name in results."""

    reference: str
    dtype: str
    max_age_s: float | None
    on_demand: bool
    description: str


@dataclass(frozen=True, slots=True)
class ContractRequestData:
    """Request data of a feature service."""

    name: str
    dtype: str
    description: str


@dataclass(frozen=True, slots=True)
class ContractService:
    """A feature service that can be asked for with a user id."""

    name: str
    description: str

    join_key: str | None
    """What user ids are values of. None: the service needs request data alone."""

    features: tuple[ContractFeature, ...]
    request_data: tuple[ContractRequestData, ...]


@dataclass(frozen=True, slots=True)
class ContractServices:
    """What a module is written from."""

    project: str
    hash: str
    services: tuple[ContractService, ...]

    left_out: tuple[str, ...]
    """The feature services whose rows are not named by one key."""


def contract_services(content: bytes) -> ContractServices:
    """Return the feature services of a contract's file. Raises CodegenError for what is no contract of version 2."""
    try:
        contract = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CodegenError("the file is not JSON; `feast-contract export` writes a contract") from error
    version = contract.get("version") if isinstance(contract, dict) else None
    if version != _CONTRACT_VERSION:
        raise CodegenError(
            f"the file is no contract of version {_CONTRACT_VERSION}, its version is {version!r};"
            " write it with `feast-contract export`"
        )
    try:
        return _services(contract)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CodegenError(
            f"the file has not the form of a contract: {type(error).__name__}: {error};"
            " write it with `feast-contract export`"
        ) from error


def _services(contract: Mapping[str, Any]) -> ContractServices:
    described = _Described(contract.get("descriptions", {}))
    on_demand = {_text(view["name"]): view for view in contract["on_demand_feature_views"]}
    served, left_out = [], []
    for entry in contract["feature_services"]:
        if len(entry["join_keys"]) > 1:
            left_out.append(_text(entry["name"]))
        else:
            served.append(_service(entry, on_demand, described))
    return ContractServices(_text(contract["project"]), _text(contract["hash"]), tuple(served), tuple(left_out))


def _service(entry: Mapping[str, Any], on_demand: Mapping[str, Any], described: "_Described") -> ContractService:
    features = entry["features"]
    count = Counter(feature["name"] for feature in features)
    views = dict.fromkeys(feature["view"] for feature in features if feature["view"] in on_demand)
    request = {part["name"]: (part, view) for view in views for part in on_demand[view]["request"]}
    return ContractService(
        name=_text(entry["name"]),
        description=described("feature_services", entry["name"]),
        join_key=_text(entry["join_keys"][0]["name"]) if entry["join_keys"] else None,
        features=tuple(
            ContractFeature(
                # As the gateway names those that share a name.
                name=_text(f"{one['as']}__{one['name']}" if count[one["name"]] > 1 else one["name"]),
                reference=f"{_text(one['view'])}:{one['name']}",
                dtype=_text(one["dtype"]),
                max_age_s=None if one["max_age_s"] is None else float(one["max_age_s"]),
                on_demand=one["view"] in on_demand,
                description=described("features", f"{one['view']}:{one['name']}")
                or described("feature_views", one["view"] if one["view"] in on_demand else ""),
            )
            for one in features
        ),
        request_data=tuple(
            ContractRequestData(_text(name), _text(part["dtype"]), described("request_data", f"{view}:{name}"))
            for name, (part, view) in request.items()
        ),
    )


class _Described:
    """The descriptions of a contract; the text is empty where there is none."""

    def __init__(self, descriptions: Mapping[str, Mapping[str, str]]) -> None:
        self._descriptions = descriptions

    def __call__(self, kind: str, name: str) -> str:
        # JSON can have halves of characters, which no Python file can.
        return str(self._descriptions.get(kind, {}).get(name, "")).encode(errors="replace").decode()


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    value.encode()
    return value
