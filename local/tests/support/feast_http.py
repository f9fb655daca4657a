"""Asks a feature server over HTTP, as Feast documents it."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 20


@dataclass(frozen=True)
class Refusal:
    """An answer that is not 200."""

    code: int
    body: str


Cells = list[tuple[Any, str, str]]
"""A column: each row's value, status and event timestamp."""


def ask_feast(url: str, **body: object) -> dict[str, Cells] | Refusal:
    """Return the columns of an answer of /get-online-features by their names, or how the server refused."""
    request = urllib.request.Request(  # noqa: S310  # http by construction
        f"{url}/get-online-features", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310  # the same
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return Refusal(error.code, error.read().decode())
    return {
        name: list(zip(column["values"], column["statuses"], column["event_timestamps"], strict=True))
        for name, column in zip(answer["metadata"]["feature_names"], answer["results"], strict=True)
    }


def columns_of(url: str, **body: object) -> dict[str, Cells]:
    """Return the columns of an answer of /get-online-features that must not be refused."""
    answer = ask_feast(url, **body)
    assert isinstance(answer, dict), answer
    return answer


def values_of(url: str, name: str, **body: object) -> list[Any]:
    """Return one column's values."""
    return [value for value, _, _ in columns_of(url, **body)[name]]
