"""Makes a contract of its file's content, and refuses one that calls would trip over; pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.feature_set import FeatureSet, ReadSets, named
from feature_gateway.contract.model import Contract
from feature_gateway.contract.selection import check_names, columns_of, feature_set_of, read_along
from feature_gateway.contract.views import ContractFeature, View
from feature_gateway.dtypes import DTYPES
from feature_gateway.errors import GatewayError

_KEY_DTYPES = ("String", "Int32", "Int64")
_MODES = ("python", "pandas", "substrait")
# They have no form in the JSON of a request that a function would get as their type.
_NOT_IN_REQUESTS = ("Bytes", "UnixTimestamp", "List(Bytes)", "List(UnixTimestamp)")


class ContractError(ValueError):
    """A contract file that can't be used; the message says why."""


def contract_of(content: Mapping[str, Any], *, contract_hash: str) -> Contract:
    """Return the contract of a content of version 2.

    Raises ContractError for content that contradicts itself, and what Python raises for content of another form.
    """
    entities = _by_name(content["entities"], _entity)
    stored = _by_name(content["feature_views"], lambda entry: _stored_view(entry, entities))
    on_demand = _by_name(content["on_demand_feature_views"], lambda entry: _on_demand_view(entry, stored))
    if both := stored.keys() & on_demand.keys():
        raise ContractError(f"two feature views are named {min(both)}")
    views = stored | on_demand
    left_out = {
        (_text(entry["kind"]).removeprefix("on_demand_"), _text(entry["name"])): _text(entry["why"])
        for entry in content["left_out"]
    }
    read_sets = ReadSets()
    services: dict[str, FeatureSet] = {}
    clashing: dict[str, GatewayError] = {}
    for name, entry in _by_name(content["feature_services"], dict).items():
        try:
            services[name] = read_sets.share(replace(_service(name, entry, entities, views), name=name))
        except GatewayError as error:
            clashing[name] = error
    return Contract(
        hash=contract_hash,
        entities=entities,
        services=services,
        views=views,
        left_out=left_out,
        clashing=clashing,
        read_sets=read_sets,
    )


def _by_name(entries: Sequence[Mapping[str, Any]], make: Any) -> dict[str, Any]:
    made = {_text(entry["name"]): make(entry) for entry in entries}
    if len(made) != len(entries):
        raise ContractError("two of its definitions have one name")
    return made


def _entity(entry: Mapping[str, Any]) -> Column:
    if entry["dtype"] not in _KEY_DTYPES:
        raise ContractError(f"the join key of {entry['name']} is {entry['dtype']}; it can be {', '.join(_KEY_DTYPES)}")
    pattern = re.compile(_text(entry["pattern"])) if entry["pattern"] is not None else None
    return Column(_text(entry["join_key"]), entry["dtype"], pattern, ColumnKind.JOIN_KEY)


def _stored_view(entry: Mapping[str, Any], entities: Mapping[str, Column]) -> View:
    columns = [_of(entities, name, f"the feature view {entry['name']} has the entity") for name in entry["entities"]]
    if len({column.name for column in columns}) < len(columns):
        raise ContractError(f"the feature view {entry['name']} has two entities with one join key")
    return View(name=entry["name"], columns=tuple(columns), features=_features(entry, max_age_s=entry["max_age_s"]))


def _on_demand_view(entry: Mapping[str, Any], stored: Mapping[str, View]) -> View:
    name, mode = entry["name"], entry["mode"]
    if mode not in _MODES:
        raise ContractError(f"the on-demand feature view {name} is in {mode!r}; it can be {', '.join(_MODES)}")
    inputs = []
    for part in entry["inputs"]:
        view = _of(stored, part["view"], f"the on-demand feature view {name} reads")
        inputs.append(_of(view.features, part["name"], f"the on-demand feature view {name} reads {view.name}:"))
    request = [_request_column(name, part) for part in entry["request"]]
    sources = [stored[view] for view in dict.fromkeys(feature.view for feature in inputs)]
    try:
        join_keys = columns_of(sources)
    except GatewayError as error:
        raise ContractError(f"the on-demand feature view {name}: {error.message}") from error
    columns = (*join_keys, *request)
    if not columns:
        raise ContractError(f"the on-demand feature view {name} has neither join keys nor request data")
    if len({column.name for column in columns}) < len(columns):
        raise ContractError(f"the on-demand feature view {name} has request data of one name, or of a join key's")
    return View(
        name=name,
        columns=columns,
        features=_features(entry, max_age_s=None),
        mode=mode,
        singleton=_truth(entry["singleton"]),
        row_by_row=_truth(entry["row_by_row"]),
        inputs=tuple(inputs),
    )


def _request_column(view: str, entry: Mapping[str, Any]) -> Column:
    if entry["dtype"] not in DTYPES or entry["dtype"] in _NOT_IN_REQUESTS:
        raise ContractError(
            f"the request data {entry['name']} of {view} is {entry['dtype']}, which can't be sent to a feature server"
        )
    return Column(_text(entry["name"]), entry["dtype"], None, ColumnKind.REQUEST_DATA)


def _service(
    name: str, entry: Mapping[str, Any], entities: Mapping[str, Column], views: Mapping[str, View]
) -> FeatureSet:
    """Return a feature service's features; raise GatewayError if their names clash."""
    features = []
    for part in entry["features"]:
        view = views.get(part["view"])
        feature = view.features.get(part["name"]) if view else None
        if feature is None:
            raise ContractError(f"the feature service {name} has {part['view']}:{part['name']}, which no view has")
        if part["dtype"] != feature.dtype:
            raise ContractError(f"the feature service {name} has {feature.reference} as {part['dtype']}")
        alias = _text(part["as"])
        features.append(replace(feature, alias=None if alias == feature.view else alias))
    if not features:
        raise ContractError(f"the feature service {name} has no features")
    if len({feature.full_name for feature in features}) < len(features):
        raise ContractError(f"the feature service {name} has a feature twice")
    join_keys = [
        replace(
            _of(entities, part["entity"], f"the feature service {name} has the entity"),
            name=_text(part["name"]),
        )
        for part in entry["join_keys"]
    ]
    if _truth(entry["by_name"]):
        return _asked_by_name(name, features, join_keys, views)
    if any(feature.alias for feature in features):
        raise ContractError(f"the feature service {name} has a view by another name, and is not asked for by name")
    feature_set = feature_set_of(features, views)
    needed = {column.name for column in feature_set.columns if column.kind is ColumnKind.JOIN_KEY}
    if needed != {column.name for column in join_keys}:
        raise ContractError(f"the feature service {name} has other join keys than its feature views")
    return feature_set


def _asked_by_name(
    name: str, features: Sequence[ContractFeature], join_keys: Iterable[Column], views: Mapping[str, View]
) -> FeatureSet:
    on_demand = tuple(views[view] for view in dict.fromkeys(one.view for one in features) if views[view].mode)
    request = [c for c in columns_of(on_demand) if c.kind is ColumnKind.REQUEST_DATA]
    feature_set = FeatureSet(
        named(features),
        (*join_keys, *request),
        feature_service=name,
        on_demand=on_demand,
        read_along=read_along(features, on_demand, views),
    )
    if len({column.name for column in feature_set.columns}) < len(feature_set.columns):
        raise ContractError(f"the feature service {name} has two columns of one name")
    check_names(feature_set)
    return feature_set


def _features(view: Mapping[str, Any], *, max_age_s: Any) -> dict[str, ContractFeature]:
    features = {}
    for entry in view["features"]:
        if entry["dtype"] not in DTYPES:
            raise ContractError(
                f"{view['name']}:{entry['name']} is {entry['dtype']}, a type that the gateway does not serve"
            )
        features[_text(entry["name"])] = ContractFeature(
            name=entry["name"],
            view=view["name"],
            feature=entry["name"],
            dtype=entry["dtype"],
            max_age_s=None if max_age_s is None else _seconds(max_age_s),
        )
    if len(features) != len(view["features"]):
        raise ContractError(f"the feature view {view['name']} has a feature twice")
    return features


def _of(known: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in known:
        raise ContractError(f"{what} {name}, which the contract does not have")
    return known[name]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not true or false")
    return value


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{value!r} is not a maximum age in seconds")
    return seconds
