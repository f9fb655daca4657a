"""The route /rows/v1, in front of the routes of Feast's app.

`POST` has a msgpack body `[selection, columns]`: the selection is a bin, msgpack of a list of references
`view:feature`, and `columns` has for each join key its values, all of one length. The reply is msgpack too:
`[views, rows]`. A row has first the event timestamp of each view, an encoded google.protobuf.Timestamp, then the values
in the order asked, each an encoded feast.types.Value; nil stands for what Redis lacks. `GET` says that the route is
there, and its bounds.
"""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

import msgspec
from feast import FeatureStore
from feast.errors import FeastError
from feast.feature_server import bin_feature_count
from feast.infra.feature_servers.base_config import MetricsConfig
from feast.infra.online_stores.redis import RedisOnlineStore, RedisType
from feast.metrics import track_feature_statuses, track_online_features_entities, track_request_latency
from streamflow_logs import Event

from streamflow_repo.logs import said
from streamflow_repo.server.apps import change_apps
from streamflow_repo.server.rows.body import TooLargeError, body_of
from streamflow_repo.server.rows.plan import NotStoredError
from streamflow_repo.server.rows.reader import RowsReader

_log = logging.getLogger(__name__)

PATH = "/rows/v1"

MAX_ROWS = 10_000
MAX_BYTES = 4 * 1024 * 1024

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_decode = msgspec.msgpack.Decoder(tuple[bytes, dict[str, list[str | int | float | bool | None]]]).decode
_encode = msgspec.msgpack.Encoder().encode
_to_json = msgspec.json.Encoder().encode
_ABOUT = _to_json({"version": 1, "max_rows": MAX_ROWS, "max_bytes": MAX_BYTES})


def add_rows_route() -> None:
    """Have the apps of this process answer at /rows/v1, where that is as safe and true as /get-online-features."""
    change_apps(_add)


def _add(app: Any, store: FeatureStore) -> None:
    reason = why_off(store)
    if reason:
        _log.warning(Event("route off", reason=reason, route=PATH))
        return
    reader = RowsReader(store)
    metrics = getattr(store.config.feature_server, "metrics", None) or MetricsConfig()
    bins = metrics.feature_count_bins
    build = app.build_middleware_stack

    def build_with_route() -> _App:
        return _Route(build(), reader, bins)

    # Ahead of FastAPI's stack, which takes longer than a read.
    app.build_middleware_stack = build_with_route


def why_off(store: FeatureStore) -> str:
    """Return why the route can't stand in for /get-online-features; empty if it can."""
    config: Any = store.config
    online_store = store._get_provider().online_store  # noqa: SLF001  # Feast has no public name for it
    if not isinstance(online_store, RedisOnlineStore) or config.online_store.redis_type == RedisType.redis_sentinel:
        return "the online store is not a Redis or a Redis Cluster"
    if config.auth_config.type != "no_auth":
        return "Feast checks who may read"
    server = config.feature_server
    logged = (getattr(server, "audit_logging", None), getattr(server, "metrics", None))
    if getattr(logged[0], "enabled", False) or getattr(logged[1], "audit_logging", False):
        return "Feast logs who reads"
    return ""


class _Route:
    """An ASGI app that answers at PATH, and hands all else to the next one."""

    def __init__(self, following: _App, reader: RowsReader, bins: list[int]) -> None:
        self._following = following
        self._reader = reader
        self._bins = bins

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] not in {"GET", "POST"}:
            await self._following(scope, receive, send)
            return
        status, content_type, content = HTTPStatus.OK, b"application/json", _ABOUT
        if scope["method"] == "POST":
            try:
                content = await self._rows(await body_of(receive, MAX_BYTES))
                content_type = b"application/x-msgpack"
            except Exception as error:  # noqa: BLE001  # each is an answer, as in Feast's own handler
                status, content = _failure(error)
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _rows(self, body: bytes) -> bytes:
        with track_request_latency(PATH) as labels:
            selection, columns = _decode(body)
            count = max(map(len, columns.values()), default=0)
            if count > MAX_ROWS:
                raise TooLargeError(f"{count} rows are asked for, and at most {MAX_ROWS} may be")
            track_online_features_entities(count)
            plan, rows = await self._reader.read(selection, columns)
            labels.feature_count = bin_feature_count(len(plan.references), self._bins)
            labels.feature_view_count = str(len(plan.views))
            for view, size in plan.sizes.items():
                track_feature_statuses(view, size * count, 0)
            return _encode((plan.views, rows))


def _failure(error: Exception) -> tuple[HTTPStatus, bytes]:
    """Return status and JSON of a failure, as Feast's own handler has them for what Feast raises."""
    if isinstance(error, TooLargeError):
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _to_json({"detail": str(error)})
    if isinstance(error, msgspec.DecodeError | NotStoredError):
        return HTTPStatus.UNPROCESSABLE_ENTITY, _to_json({"detail": str(error)})
    _log.exception(Event("read failed", reason=said(error), route=PATH), exc_info=error)
    if isinstance(error, FeastError):
        return HTTPStatus(error.http_status_code()), _to_json(error.to_error_detail())
    return HTTPStatus.INTERNAL_SERVER_ERROR, _to_json(str(error))
