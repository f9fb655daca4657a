"""The route of /get-online-features with faster stand-ins for what makes JSON of a reply. The JSON stays the same.

The route is replaced in the app that Feast's `get_app` returns. The handler and all other routes stay Feast's own.
"""

from collections.abc import Callable
from functools import lru_cache, update_wrapper
from types import FunctionType
from typing import Any

import orjson
from fastapi.responses import JSONResponse
from feast import FeatureStore, feature_server_utils
from google.protobuf.timestamp_pb2 import Timestamp

from streamflow_repo.server.apps import change_apps

_PATH = "/get-online-features"
_utils: Any = feature_server_utils


def write_replies_at_once() -> None:
    """Have the apps of this process write replies on the event loop, by orjson, with each timestamp formatted once."""
    change_apps(_replace_route)


def _replace_route(app: Any, _store: FeatureStore) -> None:
    route = next((route for route in app.routes if getattr(route, "path", None) == _PATH), None)
    if route is None:
        raise LookupError(f"this Feast has no route {_PATH} to replace")
    app.router.routes.remove(route)
    convert = with_names(_utils.convert_response_to_dict, _timestamp_to_str=formatted_once(_utils._timestamp_to_str))  # noqa: SLF001  # Feast has no public name for it
    handler = with_names(
        route.endpoint, run_in_threadpool=_run_here, JSONResponse=OrjsonResponse, convert_response_to_dict=convert
    )
    app.add_api_route(
        _PATH,
        handler,
        methods=route.methods,
        dependencies=route.dependencies,
        response_model=route.response_model,
    )


def with_names(function: Any, **names: Any) -> Any:
    """Return a function of Feast that finds other objects under some of the global names that the function uses.

    Raises LookupError if Feast no longer has one of the names.
    """
    missing = names.keys() - function.__globals__.keys()
    if missing:
        raise LookupError(f"{function.__module__} of this Feast has no {', '.join(sorted(missing))} to replace")
    changed = FunctionType(
        function.__code__, {**function.__globals__, **names}, function.__name__, None, function.__closure__
    )
    return update_wrapper(changed, function)


def formatted_once(format_timestamp: Callable[[Timestamp], str]) -> Callable[[Any], str]:
    """Return a formatter that remembers timestamps: Feast formats one for each value, a quarter of a read's time."""

    # A month's snapshot stamps all its users alike, so few are ever seen at once.
    @lru_cache(maxsize=4096)
    def formatted(seconds: int, nanos: int) -> str:
        return format_timestamp(Timestamp(seconds=seconds, nanos=nanos))

    def timestamp_to_str(ts: Any) -> str:
        return formatted(ts.seconds, ts.nanos)

    return timestamp_to_str


async def _run_here(work: Callable[..., Any], *args: Any) -> Any:
    # Handing a reply to a thread costs more than making its JSON. The online store's reads are asynchronous, so that
    # the handler has no other work for threads.
    return work(*args)


class OrjsonResponse(JSONResponse):
    """A JSON response whose text is written by orjson."""

    def render(self, content: Any) -> bytes:
        """Return the content as JSON; raise TypeError when it has no form in JSON."""
        return orjson.dumps(content)
