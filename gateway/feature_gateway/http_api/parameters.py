"""Converts the parameters of an HTTP request into a query."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.errors import GatewayError
from feature_gateway.lookup.freshness import StalenessPolicy
from feature_gateway.lookup.query import Query, Selection
from feature_gateway.lookup.written import Written

_FEATURE = "feature"
_FEATURE_SERVICE = "feature_service"
_MAX_AGE = "max_age_s"
_STALENESS_POLICY = "staleness_policy"
_CONTRACT_HASH = "contract_hash"
_INCLUDE_SERVING_INFO = "include_serving_info"
_TIMEOUT = "timeout_s"
_ONCE = (_FEATURE_SERVICE, _MAX_AGE, _STALENESS_POLICY, _CONTRACT_HASH, _INCLUDE_SERVING_INFO, _TIMEOUT)
_PARAMETERS = (_FEATURE, *_ONCE)
_REQUEST_DATA = "request_data."

_SWITCH = {"true": True, "false": False}
# float() alone would also accept "nan", "1_000" and blanks.
_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# The bound of google.protobuf.Duration, which holds over gRPC.
_MAX_S = 315_576_000_000
_MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class FeaturesRequest:
    """What a request for one user's features asks, apart from the user id."""

    query: Query

    timeout_s: float | None
    """The caller's deadline; None for the gateway's default."""

    include_serving_info: bool


def features_request(request: web.Request) -> FeaturesRequest:
    """Return what a request's parameters and credentials ask.

    Raises GatewayError for a value that gRPC refuses too; aiohttp's HTTPBadRequest for a
    parameter that is unknown, repeated, excluded by another, or neither true nor false.
    """
    values = {name: request.query.getall(name) for name in request.query}
    request_data = {
        name.removeprefix(_REQUEST_DATA): Written(values.pop(name))
        for name in [*values]
        if name.startswith(_REQUEST_DATA)
    }
    _check_names(values)
    references = values.pop(_FEATURE, None)
    given = {name: value for name, (value,) in values.items()}
    query = Query(
        _selection(given.get(_FEATURE_SERVICE), references),
        contract_hash=given.get(_CONTRACT_HASH, ""),
        max_age_s=_max_age_s(given.get(_MAX_AGE)),
        staleness_policy=_policy(given.get(_STALENESS_POLICY)),
        authorization=request.headers.get("Authorization", ""),
        request_data=request_data,
    )
    return FeaturesRequest(
        query,
        timeout_s=_timeout_s(given.get(_TIMEOUT)),
        include_serving_info=_switch(_INCLUDE_SERVING_INFO, given.get(_INCLUDE_SERVING_INFO, "false")),
    )


def _check_names(values: Mapping[str, list[str]]) -> None:
    unknown = sorted(set(values) - set(_PARAMETERS))
    if unknown:
        raise web.HTTPBadRequest(
            text=f"There is no parameter {_shown(', '.join(unknown))}; "
            f"there are {', '.join(_PARAMETERS)} and {_REQUEST_DATA}NAME."
        )
    repeated = [name for name in _ONCE if len(values.get(name, ())) > 1]
    if repeated:
        raise web.HTTPBadRequest(text=f"{', '.join(repeated)} can be given only once.")


def _selection(service: str | None, references: list[str] | None) -> Selection:
    if references is not None and service is not None:
        raise web.HTTPBadRequest(text=f"Give either {_FEATURE_SERVICE} or {_FEATURE}, not both.")
    return Selection(feature_service=service, references=references)


def _max_age_s(text: str | None) -> float | None:
    if text is None:
        return None
    max_age_s = _seconds(text)
    if max_age_s is None:
        raise GatewayError(
            ErrorReason.ERROR_REASON_MAX_AGE_INVALID,
            f"{_MAX_AGE} is {_shown(text)!r}; it takes a number of seconds from 0 to {_MAX_S}.",
            field=_MAX_AGE,
        )
    return max_age_s


def _timeout_s(text: str | None) -> float | None:
    if text is None:
        return None
    timeout_s = _seconds(text)
    if not timeout_s:
        raise GatewayError(
            ErrorReason.ERROR_REASON_TIMEOUT_INVALID,
            f"{_TIMEOUT} is {_shown(text)!r}; it takes a number of seconds above 0, up to {_MAX_S}.",
            field=_TIMEOUT,
        )
    return timeout_s


def _policy(text: str | None) -> StalenessPolicy:
    if text is None:
        return StalenessPolicy.FLAG
    policies = {policy.name.lower(): policy for policy in StalenessPolicy}
    policy = policies.get(text.lower())
    if policy is None:
        raise GatewayError(
            ErrorReason.ERROR_REASON_STALENESS_POLICY_UNKNOWN,
            f"{_STALENESS_POLICY} is {_shown(text)!r}; the gateway knows {', '.join(policies)}.",
            field=_STALENESS_POLICY,
        )
    return policy


def _switch(name: str, text: str) -> bool:
    if text not in _SWITCH:
        raise web.HTTPBadRequest(text=f"{name} is {_shown(text)!r}; it takes {' or '.join(_SWITCH)}.")
    return _SWITCH[text]


def _seconds(text: str) -> float | None:
    """Return seconds from 0 to the maximum; None if the text is not such a number."""
    seconds = float(text) if _NUMBER.fullmatch(text) else -1.0
    return seconds if 0 <= seconds <= _MAX_S else None


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
