"""The call of a look-up as commands to copy: grpcurl, curl and Python. All of them are ASCII, so nothing is hidden."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.dtypes import DTYPES
from feature_gateway.pages.choices import SERVICE

_OURS = "streamflow.features.v1.UserFeatureService/GetUserFeatures"
_FEASTS = "feast.serving.ServingService/GetOnlineFeatures"
# The largest whole numbers that every reader of JSON keeps.
_MAX_EXACT = 2**53
_CA_FILE, _TOKEN_FILE = '"$STREAMFLOW_FEATURES_CA_FILE"', '"$STREAMFLOW_FEATURES_TOKEN_FILE"'


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the gateway is called, as its callers say it."""

    grpc: str
    http: str
    tls: bool
    token: bool
    """Whether calls show a token."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One row that was looked up."""

    kind: str
    name: str
    """The kind and name of the choice."""

    references: list[str]
    feature_set: FeatureSet

    values: Mapping[str, Any]
    """The typed value of each column."""

    user: Column | None
    """The join key of the methods for users."""

    @property
    def is_of_user(self) -> bool:
        """Whether the methods for users, and with them HTTP, can ask for it."""
        keys = [column for column in self.feature_set.columns if column.kind is ColumnKind.JOIN_KEY]
        return self.user is not None and keys == [self.user]

    @property
    def request_data(self) -> dict[str, Any]:
        """The request data alone."""
        return {
            column.name: self.values[column.name]
            for column in self.feature_set.columns
            if column.kind is ColumnKind.REQUEST_DATA
        }

    @property
    def user_id(self) -> str:
        """The id that the methods for users take."""
        return str(self.values[self.user.name]) if self.user else ""


def commands_of(look: Look, place: Place) -> dict[str, str]:
    """Return the commands by the name of their tool; HTTP has no call for rows of other entities than users."""
    commands = {"grpcurl": _grpcurl(look, place)}
    if look.is_of_user:
        commands["curl"] = _curl(look, place)
    return {**commands, "Python": _python(look, place)}


def _grpcurl(look: Look, place: Place) -> str:
    options = f"-cacert {_CA_FILE}" if place.tls else "-plaintext"
    if place.token:
        options += f' -H "authorization: Bearer $(cat {_TOKEN_FILE})"'
    body = json.dumps(_body(look) if look.is_of_user else _feasts_body(look))
    return f"grpcurl {options} -d {shlex.quote(body)} {place.grpc} {_OURS if look.is_of_user else _FEASTS}"


def _body(look: Look) -> dict[str, Any]:
    selection: dict[str, Any] = {"feature_references": {"references": look.references}}
    if look.kind == SERVICE:
        selection = {"feature_service": look.name}
    dtypes = {column.name: column.dtype for column in look.feature_set.columns}
    request_data = {name: {DTYPES[dtypes[name]].proto_field: _json(value)} for name, value in look.request_data.items()}
    return {"user_id": look.user_id, **selection, **({"request_data": request_data} if request_data else {})}


def _feasts_body(look: Look) -> dict[str, Any]:
    selection: dict[str, Any] = {"features": {"val": look.references}}
    if look.kind == SERVICE:
        selection = {"feature_service": look.name}

    def column_of(column: Column) -> dict[str, Any]:
        return {"val": [{DTYPES[column.dtype].feast_field: _json(look.values[column.name])}]}

    by_kind: dict[ColumnKind, dict[str, Any]] = {ColumnKind.JOIN_KEY: {}, ColumnKind.REQUEST_DATA: {}}
    for column in look.feature_set.columns:
        by_kind[column.kind][column.name] = column_of(column)
    context = by_kind[ColumnKind.REQUEST_DATA]
    return {
        **selection,
        "entities": by_kind[ColumnKind.JOIN_KEY],
        **({"request_context": context} if context else {}),
        "full_feature_names": True,
    }


def _json(value: Any) -> Any:
    """Return a value as protobuf's JSON has it; a whole number that readers may round, as a text."""
    if isinstance(value, list):
        return {"val": [_json(element) for element in value]}
    return str(value) if type(value) is int and abs(value) > _MAX_EXACT else value


def _curl(look: Look, place: Place) -> str:
    asked = [("feature", reference) for reference in look.references]
    if look.kind == SERVICE:
        asked = [("feature_service", look.name)]
    for name, value in look.request_data.items():
        elements = value if isinstance(value, list) else [value]
        asked += [(f"request_data.{name}", _written(element)) for element in elements]
    options = f" --cacert {_CA_FILE}" if place.tls else ""
    if place.token:
        options += f' -H "authorization: Bearer $(cat {_TOKEN_FILE})"'
    url = f"{place.http}/features/{quote(look.user_id, safe='')}?{urlencode(asked, quote_via=quote, safe=':')}"
    return f"curl -s{options} {shlex.quote(url)}"


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _python(look: Look, place: Place) -> str:
    read = [f"STREAMFLOW_FEATURES_{name}_FILE" for name, on in (("CA", place.tls), ("TOKEN", place.token)) if on]
    lines = ["from streamflow_features import FeatureClient", ""]
    if read:
        lines += [f"# The client reads {' and '.join(read)}."]
    call = _users_call(look) if look.is_of_user else _rows_call(look)
    return "\n".join([*lines, f"with FeatureClient({place.grpc!r}) as client:", f"    print({call})"])


def _users_call(look: Look) -> str:
    chosen = f"features={look.references!a}"
    if look.kind == SERVICE:
        chosen = f"feature_service={look.name!a}"
    data = f", request_data={look.request_data!a}" if look.request_data else ""
    return f"client.get_user_features({look.user_id!a}, {chosen}{data})"


def _rows_call(look: Look) -> str:
    chosen = ascii(look.references)
    if look.kind == SERVICE:
        chosen = f"client.get_feature_service({look.name!a})"
    return f"client.get_online_features({chosen}, [{dict(look.values)!a}], full_feature_names=True).to_dict()"
