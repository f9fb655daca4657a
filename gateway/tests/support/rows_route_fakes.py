"""The route /rows/v1 of a fake feature server: what the fake answers as Feast's JSON, as rows as they are stored."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web
from feature_gateway.dtypes import DTYPES
from google.protobuf.timestamp_pb2 import Timestamp

ON = os.environ.get("TEST_FEATURE_SERVER", "json") == "rows"
"""Whether fake feature servers have the route; `make test-slow` runs the gateway's tests again with it."""

ABOUT = {"version": 1, "max_rows": 10_000, "max_bytes": 4_194_304}


async def question_of(request: web.Request) -> dict[str, Any]:
    """What a request for rows asks, in the form of Feast's JSON, which the request's own body becomes."""
    selection, columns = msgspec.msgpack.decode(await request.read())
    body = {"features": msgspec.msgpack.decode(selection), "entities": columns, "full_feature_names": True}
    request._read_bytes = json.dumps(body).encode()
    return body


def stored(answer: web.StreamResponse, references: list[str], types: Mapping[str, str]) -> web.StreamResponse:
    """An answer in Feast's JSON as one of the route; an answer of another form stays as it is."""
    if not isinstance(answer, web.Response) or answer.status != 200:
        return answer
    try:
        body = rows_of(bytes(answer.body or b""), references, types)  # type: ignore[arg-type]  # bytes here
    except (ValueError, TypeError, KeyError):
        return answer
    return web.Response(body=body, content_type="application/x-msgpack")


def rows_of(answer: bytes, references: list[str], types: Mapping[str, str]) -> bytes:
    """Feast's JSON as a body of the route; raises KeyError, TypeError or ValueError for JSON of another form."""
    parsed = json.loads(answer)
    columns = dict(zip(parsed["metadata"]["feature_names"], parsed["results"], strict=True))
    chosen = [columns[reference.replace(":", "__")] for reference in references]
    views = {reference.partition(":")[0]: column for reference, column in zip(references, chosen, strict=True)}
    cells = [[*map(_stamp, column["event_timestamps"])] for column in views.values()]
    for reference, column in zip(references, chosen, strict=True):
        cells.append([_value(types[reference], value) for value in column["values"]])
    return msgspec.msgpack.encode([[*views], [*zip(*cells, strict=True)]])


def _stamp(text: str) -> bytes | None:
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text))
    return stamp.SerializeToString() or None


def _value(dtype: str, value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        return DTYPES[dtype].from_feast_json(value)
    except (TypeError, ValueError):
        # A value of another type than its feature's.
        return DTYPES["String"].from_feast_json(str(value))
