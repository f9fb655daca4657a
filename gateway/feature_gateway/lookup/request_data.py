"""The request data of the methods for users: values by name, for one user or for all users of a call; pure."""

from collections.abc import Mapping
from typing import Any

from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.dtypes import element_of
from feature_gateway.lookup.keys import checked, invalid, missing, takes_of, unknown
from feature_gateway.lookup.written import Written

_PLACE = "request_data"


class RequestData:
    """Checks request data against what a feature set is computed from."""

    def __init__(self, feature_set: FeatureSet, *, max_key_bytes: int) -> None:
        """Create it for the request data among the columns of a feature set."""
        self._feature_set = feature_set
        self._max_key_bytes = max_key_bytes
        self._columns = {one.name: one for one in feature_set.columns if one.kind is ColumnKind.REQUEST_DATA}

    def typed(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return values as those of their columns' types; raise GatewayError for a name or a value that is wrong."""
        typed = {}
        for name, value in data.items():
            column = self._columns.get(name)
            if column is None:
                raise unknown(name, self._feature_set, is_request_data=True, place=_PLACE)
            if isinstance(value, Written):
                if len(value) > 1 and element_of(column.dtype) == column.dtype:
                    raise self._invalid(name, f"it is given {len(value)} times")
                value = value.value(column.dtype)  # noqa: PLW2901  # the same value
            typed[name] = checked(value, column, None, max_key_bytes=self._max_key_bytes)
        return typed

    def complete(self, common: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """Return the typed values of one user in the order of the columns.

        `common` are those of all users, `own` those of this user alone. Raises GatewayError for a value that is missing
        or is in both.
        """
        own = own or {}
        values = []
        for name, column in self._columns.items():
            if name in own and name in common:
                raise self._invalid(name, "request_data and request_data_by_user have it both")
            if name not in own and name not in common:
                raise missing(column, takes=takes_of(column, max_key_bytes=self._max_key_bytes), place=_PLACE)
            values.append(own[name] if name in own else common[name])
        return tuple(values)

    def _invalid(self, name: str, why: str) -> Exception:
        return invalid(self._columns[name], why, field=f"{_PLACE}.{name}", max_key_bytes=self._max_key_bytes)
