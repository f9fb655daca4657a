"""Converts the parameters of an HTTP request into a query."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.access.caller import Caller
from feature_gateway.errors import GatewayError
from feature_gateway.lookup.freshness import StalenessPolicy
from feature_gateway.lookup.query import Query, Selection
from feature_gateway.lookup.written import Written

FEATURE = "feature"
FEATURE_SERVICE = "feature_service"
MAX_AGE = "max_age_s"
STALENESS_POLICY = "staleness_policy"
CONTRACT_HASH = "contract_hash"
INCLUDE_SERVING_INFO = "include_serving_info"
TIMEOUT = "timeout_s"
_ONCE = (FEATURE_SERVICE, MAX_AGE, STALENESS_POLICY, CONTRACT_HASH, INCLUDE_SERVING_INFO, TIMEOUT)
PARAMETERS = (FEATURE, *_ONCE)
"""The names of all parameters but request data."""

REQUEST_DATA = "request_data."

POLICIES = {policy.name.lower(): policy for policy in StalenessPolicy}
_SWITCH = {"true": True, "false": False}
# float() alone would also accept "nan", "1_000" and blanks.
_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# The bound of google.protobuf.Duration, which holds over gRPC.
MAX_S = 315_576_000_000
_MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class FeaturesRequest:
    """What a request for one user's features asks, apart from the user id."""

    query: Query

    timeout_s: float | None
    """The caller's deadline; None for the gateway's default."""

    include_serving_info: bool


def features_request(request: web.Request, caller: Caller) -> FeaturesRequest:
    """Return what the parameters of a caller's request ask.

    Raises GatewayError for a value that gRPC refuses too; aiohttp's HTTPBadRequest for a
    parameter that is unknown, repeated, excluded by another, or neither true nor false.
    """
    values = {name: request.query.getall(name) for name in request.query}
    request_data = {
        name.removeprefix(REQUEST_DATA): Written(values.pop(name))
        for name in [*values]
        if name.startswith(REQUEST_DATA)
    }
    _check_names(values)
    references = values.pop(FEATURE, None)
    given = {name: value for name, (value,) in values.items()}
    query = Query(
        _selection(given.get(FEATURE_SERVICE), references),
        contract_hash=given.get(CONTRACT_HASH, ""),
        max_age_s=_max_age_s(given.get(MAX_AGE)),
        staleness_policy=_policy(given.get(STALENESS_POLICY)),
        caller=caller,
        request_data=request_data,
    )
    return FeaturesRequest(
        query,
        timeout_s=_timeout_s(given.get(TIMEOUT)),
        include_serving_info=_switch(INCLUDE_SERVING_INFO, given.get(INCLUDE_SERVING_INFO, "false")),
    )


def _check_names(values: Mapping[str, list[str]]) -> None:
    unknown = sorted(set(values) - set(PARAMETERS))
    if unknown:
        raise web.HTTPBadRequest(
            text=f"There is no parameter {_shown(', '.join(unknown))}; "
            f"there are {', '.join(PARAMETERS)} and {REQUEST_DATA}NAME."
        )
    repeated = [name for name in _ONCE if len(values.get(name, ())) > 1]
    if repeated:
        raise web.HTTPBadRequest(text=f"{', '.join(repeated)} can be given only once.")


def _selection(service: str | None, references: list[str] | None) -> Selection:
    if references is not None and service is not None:
        raise web.HTTPBadRequest(text=f"Give either {FEATURE_SERVICE} or {FEATURE}, not both.")
    return Selection(feature_service=service, references=references)


def _max_age_s(text: str | None) -> float | None:
    if text is None:
        return None
    max_age_s = _seconds(text)
    if max_age_s is None:
        raise GatewayError(
            ErrorReason.ERROR_REASON_MAX_AGE_INVALID,
            f"{MAX_AGE} is {_shown(text)!r}; it takes a number of seconds from 0 to {MAX_S}.",
            field=MAX_AGE,
        )
    return max_age_s


def _timeout_s(text: str | None) -> float | None:
    if text is None:
        return None
    timeout_s = _seconds(text)
    if not timeout_s:
        raise GatewayError(
            ErrorReason.ERROR_REASON_TIMEOUT_INVALID,
            f"{TIMEOUT} is {_shown(text)!r}; it takes a number of seconds above 0, up to {MAX_S}.",
            field=TIMEOUT,
        )
    return timeout_s


def _policy(text: str | None) -> StalenessPolicy:
    if text is None:
        return StalenessPolicy.FLAG
    policy = POLICIES.get(text.lower())
    if policy is None:
        raise GatewayError(
            ErrorReason.ERROR_REASON_STALENESS_POLICY_UNKNOWN,
            f"{STALENESS_POLICY} is {_shown(text)!r}; the gateway knows {', '.join(POLICIES)}.",
            field=STALENESS_POLICY,
        )
    return policy


def _switch(name: str, text: str) -> bool:
    if text not in _SWITCH:
        raise web.HTTPBadRequest(text=f"{name} is {_shown(text)!r}; it takes {' or '.join(_SWITCH)}.")
    return _SWITCH[text]


def _seconds(text: str) -> float | None:
    """Return seconds from 0 to the maximum; None if the text is not such a number."""
    seconds = float(text) if _NUMBER.fullmatch(text) else -1.0
    return seconds if 0 <= seconds <= MAX_S else None


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
