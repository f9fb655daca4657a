"""The columns of a table of features, and what stands where there is no value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from numbers import Integral, Real
from typing import Any, Final, Literal, TypedDict

from streamflow_features._dtypes import DTYPES, element_of
from streamflow_features._features import FeatureStatus, UserFeatures
from streamflow_features._values import Element, Value


class Kept(Enum):
    """The type of KEPT."""

    KEPT = "KEPT"

    def __repr__(self) -> str:
        return self.name


KEPT: Final = Kept.KEPT
"""As `too_old`: values that are too old stay as they are."""

FillValue = Value | Sequence[Element]
Fill = FillValue | Mapping[str, FillValue]
"""One value for all features, or a mapping of features' names to values. None: a missing value."""


class Fills(TypedDict, total=False):
    """The optional keywords of a batch's conversions: what stands in the table for what has no value.

    A mapping can leave out features; the default holds for them. A value has the feature's type.
    """

    null: Fill
    """What a value with the status NULL_VALUE becomes. The default is None: missing."""

    not_found: Fill
    """What a value with the status NOT_FOUND becomes. The default is None: missing."""

    too_old: Fill | Literal[Kept.KEPT]
    """What a value with the status OUTSIDE_MAX_AGE becomes. The default is KEPT; a value that the gateway left out is
    missing then."""

    dtypes: Mapping[str, str]
    """Feast's names of the types of features of which no user has a value and which no feature service has."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One feature of all users."""

    name: str
    dtype: str
    values: Sequence[Any]
    """The values, None where one is missing."""


def columns_of(
    users: Sequence[UserFeatures],
    known: Mapping[str, str | None],
    *,
    null: Fill = None,
    not_found: Fill = None,
    too_old: Fill | Literal[Kept.KEPT] = KEPT,
    dtypes: Mapping[str, str] | None = None,
) -> list[TableColumn]:
    """Return a column for each feature of `known`, which has the names and the types that are known.

    Raises TypeError for a fill of another type than the feature, ValueError for a fill of no feature and for a feature
    of unknown type.
    """
    given = dtypes or {}
    fills = {
        FeatureStatus.NULL_VALUE: ("null", null),
        FeatureStatus.NOT_FOUND: ("not_found", not_found),
        FeatureStatus.OUTSIDE_MAX_AGE: ("too_old", too_old),
    }
    named = [fill for fill in (null, not_found, too_old, given) if isinstance(fill, Mapping)]
    if strangers := sorted({name for mapping in named for name in mapping if users and name not in users[0]}):
        raise ValueError(f"no features: {', '.join(strangers)}")
    unknown = [name for name, dtype in known.items() if dtype is None and name not in given]
    if unknown:
        raise ValueError(
            f"no user has a value of {', '.join(unknown)}, and no feature service that the client knows says the type; "
            f"give dtypes={{{unknown[0]!r}: 'Float64'}}, or another of Feast's types"
        )
    columns = []
    for name, shown in known.items():
        dtype = shown or given[name]
        if dtype not in _KNOWN:
            raise ValueError(f"{name} is of the type {dtype}, which this client does not know; update the client")
        by_status = {
            status: _checked(fill[name] if isinstance(fill, Mapping) else fill, name, dtype, keyword=keyword)
            for status, (keyword, fill) in fills.items()
            if fill is not KEPT and (not isinstance(fill, Mapping) or name in fill)
        }
        columns.append(TableColumn(name, dtype, _values(users, name, by_status)))
    return columns


def _values(users: Sequence[UserFeatures], name: str, fills: Mapping[FeatureStatus, Any]) -> list[Any]:
    # Most callers fill nothing, and statuses are made when they are first read.
    if all(fill is None and status is not FeatureStatus.OUTSIDE_MAX_AGE for status, fill in fills.items()):
        return [user[name] for user in users]
    return [fills.get(user.statuses[name], user[name]) for user in users]


_KNOWN = frozenset(DTYPES.values())
_PYTHON: Mapping[str, type] = {
    "Bool": bool,
    "Int32": Integral,
    "Int64": Integral,
    "Float32": Real,
    "Float64": Real,
    "String": str,
    "Bytes": bytes,
    "UnixTimestamp": datetime,
}


def _checked(fill: Any, name: str, dtype: str, *, keyword: str) -> Any:
    element = element_of(dtype)
    if fill is None or (element is None and _fits(fill, dtype)):
        return fill
    # A text is a sequence of texts.
    if element is not None and isinstance(fill, list | tuple) and all(_fits(one, element) for one in fill):
        return tuple(fill)
    raise TypeError(
        f"{keyword} is {fill!r}, and {name} is of the type {dtype}; give a mapping of features' names to values"
    )


def _fits(value: object, dtype: str) -> bool:
    if isinstance(value, bool):
        return dtype == "Bool"
    if isinstance(value, datetime) and value.tzinfo is None:
        return False
    return isinstance(value, _PYTHON[dtype])
