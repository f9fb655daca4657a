"""The same lookup over HTTP and JSON, for curl, probes and dashboards."""

import logging
import math
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web
from grpc import StatusCode
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow_logs import Event

from feature_gateway.access.gate import Gate
from feature_gateway.conversions import rfc3339
from feature_gateway.dtypes import DTYPES
from feature_gateway.errors import ERROR_DOMAIN, HTTP_STATUSES, GatewayError, as_gateway_error
from feature_gateway.http_api.answers import json_answer, problem
from feature_gateway.http_api.browsers import Browsers
from feature_gateway.http_api.credentials import credentials_of
from feature_gateway.http_api.openapi import document
from feature_gateway.http_api.parameters import features_request
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.lookup.query import UserFeatures
from feature_gateway.metrics import Metrics
from feature_gateway.readiness.readiness import Readiness
from feature_gateway.tracing.current import current_call

if TYPE_CHECKING:
    from feature_gateway.tracing.tracer import TracedMethod, Tracing

_log = logging.getLogger(__name__)

_LOOKUP: web.AppKey[Lookup] = web.AppKey("lookup", Lookup)
_READINESS: web.AppKey[Readiness] = web.AppKey("readiness", Readiness)
_METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
_GATE: web.AppKey[Gate] = web.AppKey("gate", Gate)

_TRACED: web.AppKey["TracedMethod | None"] = web.AppKey("traced")

FEATURES_METHOD = "http:/features"
"""The method that a request for features is counted as."""

_CODES = {200: StatusCode.OK} | {status.value: code for code, status in HTTP_STATUSES.items()}

_FAILURE: web.ResponseKey[GatewayError] = web.ResponseKey("failure", GatewayError)
"""Why an answer is an error."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(
    lookup: Lookup, *, metrics: Metrics, browsers: Browsers, gate: Gate, tracing: "Tracing | None" = None
) -> web.Application:
    """Return the HTTP application that answers from a lookup."""
    app = web.Application(middlewares=[_counted, browsers.middleware(), _problems])
    app[_LOOKUP] = lookup
    app[_METRICS] = metrics
    app[_GATE] = gate
    app[_TRACED] = tracing.http_route("GET", "/features/{user_id}") if tracing is not None else None
    app.router.add_get("/features/{user_id:[^/]*}", _features)
    app.router.add_get("/openapi.json", _openapi)
    return app


def make_admin_app(*, metrics: Metrics) -> web.Application:
    """Return the HTTP application of a port without features."""
    app = web.Application(middlewares=[Browsers().middleware(), _problems])
    app[_METRICS] = metrics
    return app


def add_probes(app: web.Application, readiness: Readiness) -> None:
    """Have an application say whether the process lives, whether calls should be sent here, and its metrics."""
    app[_READINESS] = readiness
    app.router.add_get("/health", _health)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/metrics", _metrics)


async def _health(_request: web.Request) -> web.Response:
    return json_answer({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    reason = request.app[_READINESS].reason
    return json_answer({"status": "ready"}) if reason is None else problem(HTTPStatus.SERVICE_UNAVAILABLE, reason)


async def _metrics(request: web.Request) -> web.Response:
    body, content_type = request.app[_METRICS].exposition(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _openapi(request: web.Request) -> web.Response:
    caller = await credentials_of(request, request.app[_GATE]).caller()
    caller.spend()
    lookup, probes = request.app[_LOOKUP], _READINESS in request.app
    return json_answer(document(lookup.contract, caller, user_id=lookup.user_column, probes=probes))


async def _features(request: web.Request) -> web.Response:
    asked = features_request(request, await credentials_of(request, request.app[_GATE]).caller())
    answer = await request.app[_LOOKUP].user_features(
        request.match_info["user_id"], asked.query, remaining_s=asked.timeout_s
    )
    body = _body(answer)
    if asked.include_serving_info:
        body["serving_info"] = _serving_info(answer)
    return json_answer(body)


def _body(answer: UserFeatures) -> dict[str, Any]:
    features = answer.feature_set.features
    row, judgement = answer.row, answer.row.judgement
    names = [feature.name for feature in features]
    stale_age_s = answer.served.stale_age_s
    return {
        "user_id": answer.user_id,
        "user_known": judgement.known,
        "features": {
            feature.name: None if value is None else DTYPES[feature.dtype].to_json(value)
            for feature, value in zip(features, row.values, strict=True)
        },
        "statuses": {name: status.name for name, status in zip(names, judgement.statuses, strict=True)},
        "event_timestamps": {
            name: None if stamp is None else rfc3339(stamp)
            for name, stamp in zip(names, judgement.event_timestamps_ns, strict=True)
        },
        "contract_hash": answer.contract_hash,
        **({} if stale_age_s is None else {"stale_age_s": stale_age_s}),
    }


def _serving_info(answer: UserFeatures) -> dict[str, Any]:
    served = answer.served
    return {
        "gateway_time_s": answer.gateway_s,
        "queue_time_s": served.queue_s,
        "upstream_time_s": served.upstream_s,
        "batch_size": served.batch_size,
        "retried": served.report.retried,
        "hedged": served.report.hedged,
    }


@web.middleware
async def _counted(request: web.Request, handler: _Handler) -> web.StreamResponse:
    if request.match_info.handler is not _features:
        return await handler(request)
    started = time.perf_counter()
    code, failure = StatusCode.CANCELLED, None
    traced = request.app[_TRACED]
    span = traced.begin([(key.lower(), value) for key, value in request.headers.items()]) if traced else None
    token = current_call.set(span)
    try:
        response = await handler(request)
        code, failure = _CODES.get(response.status, StatusCode.UNKNOWN), response.get(_FAILURE)
        if span is not None:
            span.span.set_attribute("http.response.status_code", response.status)
        return response
    finally:
        # The connection's next request has the same task.
        current_call.reset(token)
        request.app[_METRICS].call_ended(
            FEATURES_METHOD,
            code,
            time.perf_counter() - started,
            reason=failure and failure.reason,
            feature_server=failure and failure.feature_server,
            span=span,
        )


@web.middleware
async def _problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = problem(HTTPStatus(error.status), error.text or error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes an answer
        failure = as_gateway_error(error)
        if failure is not error:
            # Not the path: it has a user id.
            _log.exception(Event("unforeseen failure", of=FEATURES_METHOD))
        return _gateway_problem(failure)


def _gateway_problem(error: GatewayError) -> web.Response:
    response = problem(
        error.http_status,
        error.message,
        code=error.code.name,
        reason=ErrorReason.Name(error.reason),
        domain=ERROR_DOMAIN,
        metadata=error.metadata,
    )
    response[_FAILURE] = error
    if error.http_status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        # Whole seconds are all that the header can say.
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return response
