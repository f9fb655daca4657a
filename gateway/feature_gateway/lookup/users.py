"""What the methods for users take: the id of the one entity that they are for, and what its features depend on."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.contract.columns import Column, ColumnKind, RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.dtypes import INT_LIMITS
from feature_gateway.errors import GatewayError
from feature_gateway.lookup.keys import missing, takes_of
from feature_gateway.lookup.request_data import RequestData

_USER_ID_FIELD = "user_id"
_USER_IDS_FIELD = "user_ids"
# One form for each number, so that one user has one id.
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")


class Users:
    """Makes keys of user ids."""

    def __init__(self, *, entity: str, max_id_bytes: int) -> None:
        """Create it for the entity whose key a user id is; `max_id_bytes` is in bytes of UTF-8."""
        self._entity = entity
        self._max_id_bytes = max_id_bytes

    def column(self, contract: Contract) -> Column:
        """Return the column of user ids; raise GatewayError (USER_ENTITY_MISSING)."""
        column = contract.entities.get(self._entity)
        if column is None:
            raise GatewayError(
                ErrorReason.ERROR_REASON_USER_ENTITY_MISSING,
                f"The contract has no entity {self._entity}, which this method is for; use GetOnlineFeatures.",
                metadata={"entity": self._entity},
            )
        return column

    def request_values(
        self, column: Column, feature_set: FeatureSet, data: Mapping[str, Any] | None
    ) -> tuple[Any, ...]:
        """Return the values behind the user id in the keys of a feature set.

        Raises GatewayError if the features depend on another entity's key, or on other request data.
        """
        columns = feature_set.columns
        if not data and len(columns) == 1 and columns[0] is column:
            return ()
        request_data = self._request_data(column, feature_set)
        return request_data.complete(request_data.typed(data or {}))

    def keys(
        self,
        column: Column,
        feature_set: FeatureSet,
        user_ids: Sequence[str],
        *,
        common: Mapping[str, Any] | None,
        by_user: Sequence[Mapping[str, Any]],
    ) -> list[RowKey | GatewayError]:
        """Return the key of each user's row, or why there is none.

        `common` are the request data of all users, `by_user` those of each user, or nothing. Raises GatewayError for
        what is not one user's fault.
        """
        request_data = self._request_data(column, feature_set)
        typed = request_data.typed(common or {})
        if by_user and len(by_user) != len(user_ids):
            raise GatewayError(
                ErrorReason.ERROR_REASON_COLUMNS_RAGGED,
                f"There are {len(user_ids)} user ids and the request data of {len(by_user)} users; "
                "give those of each user, or of none.",
                field="request_data_by_user",
            )
        values = None if by_user else request_data.complete(typed)

        def key(position: int) -> RowKey | GatewayError:
            try:
                behind = request_data.complete(typed, request_data.typed(by_user[position])) if by_user else values
                return self.key(column, user_ids[position], behind or ())
            except GatewayError as error:
                return error

        return [key(position) for position in range(len(user_ids))]

    def _request_data(self, column: Column, feature_set: FeatureSet) -> RequestData:
        """Return what checks the request data of features; raise GatewayError if they are not those of a user alone."""
        columns = feature_set.columns
        others = [one for one in columns if one.kind is ColumnKind.JOIN_KEY and one != column]
        if others:
            takes = takes_of(others[0], max_key_bytes=self._max_id_bytes)
            raise missing(others[0], takes=f"{takes}, and the methods for users can't give it; use GetOnlineFeatures")
        if column not in columns:
            raise GatewayError(
                ErrorReason.ERROR_REASON_ENTITY_KEY_UNKNOWN,
                "These features do not depend on a user; use GetOnlineFeatures.",
                field=_USER_ID_FIELD,
                metadata={"join_key": column.name},
            )
        return RequestData(feature_set, max_key_bytes=self._max_id_bytes)

    def key(self, column: Column, user_id: str, request_values: tuple[Any, ...]) -> RowKey:
        """Return the key of a user's row; raise GatewayError for an id that is none."""
        if not user_id:
            raise GatewayError(
                ErrorReason.ERROR_REASON_USER_ID_EMPTY, "user_id is empty; give the id of a user.", field=_USER_ID_FIELD
            )
        limit = self._max_id_bytes
        if len(user_id.encode(errors="surrogatepass")) > limit:
            raise GatewayError(
                ErrorReason.ERROR_REASON_USER_ID_TOO_LONG,
                f"user_id is longer than {limit} bytes.",
                field=_USER_ID_FIELD,
                metadata={"max_bytes": str(limit)},
            )
        if column.dtype != "String":
            return (_whole(column, user_id), *request_values)
        pattern = column.pattern
        if pattern is not None and not pattern.fullmatch(user_id):
            raise GatewayError(
                ErrorReason.ERROR_REASON_USER_ID_MALFORMED,
                f"user_id {user_id!r} is not of the form {pattern.pattern}.",
                field=_USER_ID_FIELD,
                metadata={"pattern": pattern.pattern},
            )
        return (user_id, *request_values)


def _whole(column: Column, user_id: str) -> int:
    limit = INT_LIMITS[column.dtype]
    if _WHOLE.fullmatch(user_id) and -limit <= int(user_id) < limit:
        return int(user_id)
    raise GatewayError(
        ErrorReason.ERROR_REASON_USER_ID_MALFORMED,
        f"user_id {user_id!r} is not a whole number from {-limit} to {limit - 1}.",
        field=_USER_ID_FIELD,
        metadata={"pattern": _WHOLE.pattern},
    )


def check_count(user_ids: Sequence[str], *, limit: int) -> None:
    """Raise GatewayError for a batch of no users, or of more than `limit`."""
    if not user_ids:
        raise GatewayError(
            ErrorReason.ERROR_REASON_USER_IDS_EMPTY,
            "user_ids is empty; give the ids of the users.",
            field=_USER_IDS_FIELD,
        )
    if len(user_ids) > limit:
        raise GatewayError(
            ErrorReason.ERROR_REASON_USER_IDS_TOO_MANY,
            f"There are {len(user_ids)} user ids, and a batch takes {limit}; send several batches.",
            field=_USER_IDS_FIELD,
            metadata={"max_users": str(limit)},
        )
