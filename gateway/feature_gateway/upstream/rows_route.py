"""The route of a feature server that answers with rows as they are stored: whether it is there, and how it is asked.

Feast's own `feast serve` has no such route. The server behind each new connection is asked once, since it may be
another than before; a server without the route is asked again now and then, since a proxy may have another behind it.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.contract.columns import ColumnKind, RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import GatewayError
from feature_gateway.reads import RowsRead
from feature_gateway.upstream.connection import Connection, HungUpError, RowsRoute
from feature_gateway.upstream.origin import Origin
from feature_gateway.upstream.stored_rows import rows_of

_PATH = "/rows/v1"
_VERSION = 1
_ASK_AGAIN_S = 10.0
# What is said to one caller, or to its credentials, says nothing of the route to others of the same connection.
_TO_THIS_CALLER = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[str], list[list[bytes | None]]]).decode


class _About(msgspec.Struct):
    version: int
    max_rows: int
    max_bytes: int


_about = msgspec.json.Decoder(_About).decode


def body_for(feature_set: FeatureSet, keys: Sequence[RowKey]) -> bytes | None:
    """Return the body of a request for rows; None if stored values alone don't answer it."""
    if feature_set.feature_service is not None or feature_set.on_demand:
        return None
    columns = feature_set.columns
    if any(column.kind is not ColumnKind.JOIN_KEY for column in columns):
        return None
    values = zip(columns, zip(*keys, strict=True), strict=True)
    return _encode((feature_set.selection, {column.name: value for column, value in values}))


def parse(answer: bytes, feature_set: FeatureSet, row_count: int) -> RowsRead:
    """Return one row a key, in the order asked, from a successful answer; raise what `rows_of` raises."""
    try:
        views, rows = _decode(answer)
    except msgspec.DecodeError:
        raise _mismatch("is not of the route's form") from None
    if len(rows) != row_count:
        raise _mismatch(f"has {len(rows)} rows for {row_count} keys")
    return rows_of(views, rows, feature_set)


def _mismatch(what: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, f"The feature server's answer {what}.")


async def answered(
    connection: Connection, origin: Origin, body: bytes, *, row_count: int, authorization: str
) -> tuple[int, bytes] | None:
    """Return status and body of the answer to a request for rows; None if the server does not take it.

    Raises ConnectionFailedError.
    """
    route = connection.rows_route
    now_s = asyncio.get_running_loop().time()
    asks = route is None or (not route.max_rows and now_s - route.asked_at_s > _ASK_AGAIN_S)
    if route is None or asks:
        head = origin.head("GET", _PATH, authorization=authorization)
        status, about = await connection.request(head, b"")
        if status in _TO_THIS_CALLER:
            return None
        route = connection.rows_route = _route(status, about, now_s)
    if row_count > route.max_rows or len(body) > route.max_bytes or connection.closed:
        return None
    head = origin.head(
        "POST", _PATH, content_type="application/x-msgpack", length=len(body), authorization=authorization
    )
    try:
        status, answer = await connection.request(head, body)
    except HungUpError:
        if asks:
            # A server, or a proxy, that closes each connection after an answer has no second one for the rows.
            return None
        raise
    if status in _GONE and not answer.startswith(b'"'):
        # Feast's own errors are JSON texts.
        connection.rows_route = RowsRoute(0, 0, now_s)
        return None
    return status, answer


def _route(status: int, body: bytes, now_s: float) -> RowsRoute:
    try:
        about = _about(body) if status == HTTPStatus.OK else None
    except msgspec.DecodeError:
        about = None
    if about is None or about.version != _VERSION:
        return RowsRoute(0, 0, now_s)
    return RowsRoute(about.max_rows, about.max_bytes, now_s)
