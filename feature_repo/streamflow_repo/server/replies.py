"""Stand-ins for the parts of Feast 0.67 that write a feature server's replies. The replies stay what they were.

Each takes the place of a private name, since Feast has no other place to stand in; tests hold them to Feast's own, and
the lock pins it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson
from fastapi.responses import JSONResponse
from feast import feature_server, feature_server_utils
from feast.feature_server_utils import convert_response_to_dict
from google.protobuf.timestamp_pb2 import Timestamp

_server: Any = feature_server
_utils: Any = feature_server_utils


def remember_timestamps() -> None:
    """Have each event timestamp formatted once: Feast formats it anew for every value, a quarter of a read's time."""
    format_anew: Callable[[Timestamp], str] = _utils._timestamp_to_str  # noqa: SLF001  # see the module's text

    # A month's snapshot stamps all its users alike, so few are ever seen at once.
    @lru_cache(maxsize=4096)
    def formatted(seconds: int, nanos: int) -> str:
        return format_anew(Timestamp(seconds=seconds, nanos=nanos))

    def timestamp_to_str(ts: Any) -> str:
        return formatted(ts.seconds, ts.nanos)

    _utils._timestamp_to_str = timestamp_to_str  # noqa: SLF001  # the same


def write_at_once() -> None:
    """Have replies written by orjson on the event loop: handing a reply to a thread costs more than writing it."""
    in_threadpool = _server.run_in_threadpool

    async def run(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if work is convert_response_to_dict:
            return work(*args, **kwargs)
        return await in_threadpool(work, *args, **kwargs)

    _server.run_in_threadpool = run
    _server.JSONResponse = OrjsonResponse


class OrjsonResponse(JSONResponse):
    """A JSON response whose text is orjson's."""

    def render(self, content: Any) -> bytes:
        """Return the content as JSON; raise TypeError when it has no form in JSON."""
        return orjson.dumps(content)
