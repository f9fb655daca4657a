"""JSON answers, and errors in the form of RFC 9457."""

from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web


def json_answer(
    body: Any, *, status: HTTPStatus = HTTPStatus.OK, content_type: str = "application/json"
) -> web.Response:
    """Return a body as JSON, which no cache may keep."""
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=orjson.dumps(body) + b"\n", status=status, content_type=content_type, headers=headers)


def problem(status: HTTPStatus, detail: str, **members: Any) -> web.Response:
    """Return an answer of RFC 9457."""
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail, **members}
    return json_answer(body, status=status, content_type="application/problem+json")
