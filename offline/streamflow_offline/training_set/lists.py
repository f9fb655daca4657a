"""List columns: out of the JSON that PostgreSQL makes of arrays, and into the JSON that a CSV file has of them."""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyarrow as pa


def parsed_lists(texts: pa.ChunkedArray, of: pa.DataType) -> pa.ChunkedArray:
    """Return lists of a type, from JSON of PostgreSQL's `array_to_json`; null stays null.

    Times are without a time zone, in UTC. Raises ValueError or TypeError for an element of another type, such as an
    array in the array.
    """
    convert = _converter(of)
    # As floats, because Arrow takes no whole number that is too large for a float to be exact.
    number = float if pa.types.is_floating(of) else int
    lists = [
        None if text is None else [convert(element) for element in json.loads(text, parse_int=number)]
        for text in texts.to_pylist()
    ]
    return pa.chunked_array([pa.array(lists, pa.list_(of))])


def lists_as_json(lists: pa.ChunkedArray) -> pa.Array:
    """Return lists as JSON: bytes in Base64, times in ISO 8601, and "NaN" and the infinities as Python has them."""
    return pa.array(
        [None if v is None else json.dumps(v, default=_as_text, ensure_ascii=False) for v in lists.to_pylist()],
        pa.string(),
    )


def _converter(of: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_floating(of):
        return lambda element: float(element) if isinstance(element, str) else element
    if pa.types.is_binary(of):
        return lambda element: None if element is None else bytes.fromhex(element.removeprefix("\\x"))
    if pa.types.is_timestamp(of):
        return lambda element: None if element is None else datetime.fromisoformat(element)
    return lambda element: element


def _as_text(element: bytes | datetime) -> str:
    return element.isoformat() if isinstance(element, datetime) else base64.b64encode(element).decode()
