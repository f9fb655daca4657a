"""Describes the HTTP port as OpenAPI, by the contract in service and by the tables that requests are answered by."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.access.caller import Caller
from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.model import Contract
from feature_gateway.dtypes import INT_LIMITS, element_of
from feature_gateway.errors import CODES, ERROR_DOMAIN, HTTP_STATUSES
from feature_gateway.http_api import parameters
from feature_gateway.values import FeatureStatus

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string"}
_SECONDS: _Schema = {"type": "number", "minimum": 0}

_SERVING_INFO: Mapping[str, _Schema] = {
    "gateway_time_s": _SECONDS,
    "queue_time_s": _SECONDS,
    "upstream_time_s": _SECONDS,
    "batch_size": {"type": "integer", "minimum": 0},
    "retried": {"type": "boolean"},
    "hedged": {"type": "boolean"},
}
_PROBLEM: Mapping[str, _Schema] = {
    "type": {"const": "about:blank"},
    "title": _TEXT,
    "status": {"type": "integer"},
    "detail": _TEXT,
    "code": {"enum": sorted({code.name for code in CODES.values()})},
    "reason": {"enum": [ErrorReason.Name(reason) for reason in CODES]},
    "domain": {"const": ERROR_DOMAIN},
    "metadata": {"type": "object", "additionalProperties": _TEXT},
}
_OF_THE_PORT = {403: "the page's origin", 404: "no such path", 405: "no such method", 421: "the request's Host"}
"""Statuses that no call over gRPC has."""


def document(contract: Contract, caller: Caller, *, user_id: Column | None, probes: bool) -> dict[str, Any]:
    """Return the document of what a caller may read.

    `user_id` is the join key of users, and `probes` says whether the port has probes.
    """
    # Whoever authenticates callers: the gateway, Feast or a proxy.
    security: dict[str, Any] = {"security": [{}, {"bearer": []}]}
    paths = {
        "/features/{user_id}": _operation(
            "Returns one user's features.",
            {200: _json("the features", _features())},
            [
                {"name": "user_id", "in": "path", "required": True, "schema": _user_id(user_id)},
                *_parameters(contract, caller),
            ],
            **security,
        ),
        "/openapi.json": _operation(
            "Returns this document.", {200: _json("the document", {"type": "object"})}, **security
        ),
    }
    if probes:
        metrics = {"description": "the metrics", "content": {"text/plain": {"schema": _TEXT}}}
        status = {"type": "object", "properties": {"status": _TEXT}, "required": ["status"]}
        paths |= {
            "/health": _operation("Answers while the process lives.", {200: _json("alive", status)}),
            "/ready": _operation(
                "Says whether calls should be sent here.",
                {200: _json("ready", status), 503: _problem("why not")},
            ),
            "/metrics": _operation("Returns Prometheus's metrics.", {200: metrics}),
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Feature gateway",
            "version": version("feature-gateway"),
            "description": f"By the contract {contract.hash}.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Problem": _object(_PROBLEM, required=("type", "title", "status", "detail"))},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    summary: str, responses: Mapping[int, Any], parameters: Iterable[Any] = (), **members: Any
) -> dict[str, Any]:
    refused = {status: _problem(text) for status, text in _OF_THE_PORT.items()}
    if "security" in members:
        refused = {status.value: _problem(code.name) for code, status in HTTP_STATUSES.items()} | refused
    answers = {str(status): answer for status, answer in sorted((refused | {**responses}).items())}
    return {"get": {"summary": summary, "parameters": [*parameters], "responses": answers, **members}}


def _parameters(contract: Contract, caller: Caller) -> Iterable[dict[str, Any]]:
    views = [view for name, view in contract.views.items() if caller.may_read_view(name)]
    services = {name: service for name, service in contract.services.items() if caller.may_read_service(name)}
    references = [f"{view.name}:{feature}" for view in views for feature in view.features]
    # Their values in the request are matched by the same names, and a name without a schema is a KeyError.
    schemas: Mapping[str, _Schema] = {
        parameters.FEATURE: {"type": "array", "items": _one_of(references), "minItems": 1, "uniqueItems": True},
        parameters.FEATURE_SERVICE: _one_of(services),
        parameters.MAX_AGE: {**_SECONDS, "maximum": parameters.MAX_S},
        parameters.STALENESS_POLICY: {"type": "string", "pattern": _any_case(parameters.POLICIES)},
        parameters.CONTRACT_HASH: _TEXT,
        parameters.INCLUDE_SERVING_INFO: {"type": "boolean"},
        parameters.TIMEOUT: {"type": "number", "exclusiveMinimum": 0, "maximum": parameters.MAX_S},
    }
    for name in parameters.PARAMETERS:
        yield {"name": name, "in": "query", "schema": schemas[name]}
    request_data = {
        column.name: column.dtype
        for columns in (*(view.columns for view in views), *(service.columns for service in services.values()))
        for column in columns
        if column.kind is ColumnKind.REQUEST_DATA
    }
    for name, dtype in sorted(request_data.items()):
        yield {"name": f"{parameters.REQUEST_DATA}{name}", "in": "query", "schema": _value(dtype)}


def _one_of(names: Iterable[str]) -> _Schema:
    found = [*names]
    return {"enum": found} if found else {"not": {}}


def _user_id(column: Column | None) -> _Schema:
    if column is None:
        return _TEXT
    pattern = column.pattern.pattern if column.pattern else None
    return {**_value(column.dtype), **({"pattern": pattern} if pattern else {})}


def _value(dtype: str) -> _Schema:
    """Return the schema of a value that a caller writes."""
    element = element_of(dtype)
    if element != dtype:
        return {"type": "array", "items": _value(element), "minItems": 1}
    if element in INT_LIMITS:
        limit = INT_LIMITS[element]
        return {"type": "integer", "minimum": -limit, "maximum": limit - 1}
    if element in {"Float32", "Float64"}:
        return {"type": "number"}
    return {"type": "boolean"} if element == "Bool" else {"type": "string", "minLength": 1}


def _features() -> _Schema:
    by_name = {"type": "object", "additionalProperties": True}
    statuses = {"type": "object", "additionalProperties": {"enum": [status.name for status in FeatureStatus]}}
    stamps = {"type": "object", "additionalProperties": {"type": ["string", "null"], "format": "date-time"}}
    always = {
        "user_id": _TEXT,
        "user_known": {"type": "boolean"},
        "features": by_name,
        "statuses": statuses,
        "event_timestamps": stamps,
        "contract_hash": _TEXT,
    }
    sometimes = {"stale_age_s": _SECONDS, "serving_info": _object(_SERVING_INFO, required=_SERVING_INFO)}
    return _object(always | sometimes, required=always)


def _object(properties: Mapping[str, _Schema], *, required: Iterable[str]) -> _Schema:
    return {
        "type": "object",
        "properties": {**properties},
        "required": [*required],
        "additionalProperties": False,
    }


def _json(description: str, schema: _Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _any_case(words: Iterable[str]) -> str:
    """Return a pattern of words in any case; OpenAPI's patterns have no flag for it."""
    return "^(" + "|".join("".join(f"[{letter.lower()}{letter.upper()}]" for letter in word) for word in words) + ")$"
