"""The same lookup over HTTP and JSON, for curl, probes and dashboards."""

import logging
import math
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from grpc import StatusCode
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.conversions import rfc3339
from feature_gateway.dtypes import DTYPES
from feature_gateway.errors import ERROR_DOMAIN, HTTP_STATUSES, GatewayError, as_gateway_error
from feature_gateway.http_api.parameters import features_request
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.lookup.query import UserFeatures
from feature_gateway.metrics import CONTENT_TYPE, Metrics
from feature_gateway.readiness.readiness import Readiness

_log = logging.getLogger(__name__)

_LOOKUP: web.AppKey[Lookup] = web.AppKey("lookup", Lookup)
_READINESS: web.AppKey[Readiness] = web.AppKey("readiness", Readiness)
_METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)

FEATURES_METHOD = "http:/features"
"""The method that a request for features is counted as."""

_CODES = {200: StatusCode.OK} | {status.value: code for code, status in HTTP_STATUSES.items()}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(lookup: Lookup, *, readiness: Readiness, metrics: Metrics) -> web.Application:
    """Return the HTTP application that answers from a lookup, and says whether calls should be sent here."""
    app = web.Application(middlewares=[_counted, _problems])
    app[_LOOKUP] = lookup
    app[_READINESS] = readiness
    app[_METRICS] = metrics
    app.router.add_get("/health", _health)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/features/{user_id:[^/]*}", _features)
    return app


async def _health(_request: web.Request) -> web.Response:
    return _json({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    reason = request.app[_READINESS].reason
    return _json({"status": "ready"}) if reason is None else _problem(HTTPStatus.SERVICE_UNAVAILABLE, reason)


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=request.app[_METRICS].exposition(), headers={"Content-Type": CONTENT_TYPE})


async def _features(request: web.Request) -> web.Response:
    asked = features_request(request)
    answer = await request.app[_LOOKUP].user_features(
        request.match_info["user_id"], asked.query, remaining_s=asked.timeout_s
    )
    body = _body(answer)
    if asked.include_serving_info:
        body["serving_info"] = _serving_info(answer)
    return _json(body)


def _body(answer: UserFeatures) -> dict[str, Any]:
    features = answer.feature_set.features
    row = answer.row
    names = [feature.name for feature in features]
    stale_age_s = answer.served.stale_age_s
    return {
        "user_id": answer.user_id,
        "user_known": row.known,
        "features": {
            feature.name: None if value is None else DTYPES[feature.dtype].to_json(value)
            for feature, value in zip(features, row.values, strict=True)
        },
        "statuses": {name: status.name for name, status in zip(names, row.statuses, strict=True)},
        "event_timestamps": {
            name: None if stamp is None else rfc3339(stamp)
            for name, stamp in zip(names, row.event_timestamps_ns, strict=True)
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
    code = StatusCode.CANCELLED
    try:
        response = await handler(request)
        code = _CODES.get(response.status, StatusCode.UNKNOWN)
        return response
    finally:
        request.app[_METRICS].call_ended(FEATURES_METHOD, code, time.perf_counter() - started)


@web.middleware
async def _problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = _problem(HTTPStatus(error.status), error.text or error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes an answer
        failure = as_gateway_error(error)
        if failure is not error:
            _log.exception("unforeseen failure of %s", request.path)
        return _gateway_problem(failure)


def _gateway_problem(error: GatewayError) -> web.Response:
    response = _problem(
        error.http_status,
        error.message,
        code=error.code.name,
        reason=ErrorReason.Name(error.reason),
        domain=ERROR_DOMAIN,
        metadata=error.metadata,
    )
    if error.retry_after_s is not None:
        # Whole seconds are all that the header can say.
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return response


def _problem(status: HTTPStatus, detail: str, **members: Any) -> web.Response:
    """Return an answer of RFC 9457."""
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail, **members}
    return _json(body, status=status, content_type="application/problem+json")


def _json(body: Any, *, status: HTTPStatus = HTTPStatus.OK, content_type: str = "application/json") -> web.Response:
    return web.Response(body=orjson.dumps(body) + b"\n", status=status, content_type=content_type)
