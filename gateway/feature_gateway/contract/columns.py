"""What a row is named by: join keys, and the request data that on-demand features depend on."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum

RowKey = tuple[Hashable, ...]
"""The name of a row: one typed value for each column of its feature set, in their order; lists are tuples.

In one position all keys have values of one type, so that values of different types are never taken for equal.
"""


class ColumnKind(Enum):
    """What the values of a column are."""

    JOIN_KEY = "join key"
    """They name an entity."""

    REQUEST_DATA = "request data"
    """On-demand features are computed from them."""


@dataclass(frozen=True, slots=True)
class Column:
    """One of the values that name a row."""

    name: str
    dtype: str
    """The name of the values' type: String, Int32 or Int64 for a join key."""

    pattern: re.Pattern[str] | None
    """What all of a text must match; None for any text."""

    kind: ColumnKind
