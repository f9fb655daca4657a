"""The APIs of Feast's own servers: `feast serve` and `feast listen`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from streamflow_loadtests.callers.calls import Reply, Request
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.gateway_api import malformed

if TYPE_CHECKING:
    from streamflow_features import Value

_NEVER_WRITTEN = "1970-01-01T00:00:00Z"


class FeastHttp:
    """`POST /get-online-features` of `feast serve`."""

    def __init__(self, selection: Mapping[str, object], *, join_key: str) -> None:
        """Creates requests with `selection`: the request's JSON without the users."""
        self._selection = selection
        self._join_key = join_key

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for one or more users."""
        body = orjson.dumps({**self._selection, "entities": {self._join_key: user_ids}})
        return Request(user_ids=tuple(user_ids), path="/get-online-features", body=body)

    def replies(self, request: Request, reply: bytes) -> Sequence[Reply]:
        """Return what Feast's columns say. A user is unknown when none of their columns was ever written."""
        try:
            found = orjson.loads(reply)
            names = found["metadata"]["feature_names"]
            columns = [column["values"] for column in found["results"]]
            replies = _rows(request.user_ids, names, columns, join_key=self._join_key)
            stamps = [
                column["event_timestamps"]
                for name, column in zip(names, found["results"], strict=True)
                if name != self._join_key
            ]
            known = [any(stamp != _NEVER_WRITTEN for stamp in row) for row in zip(*stamps, strict=True)]
            known = known or [False] * len(replies)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise malformed(reply) from error
        return [
            Reply(user_id=user_id, values=values, user_known=user_known)
            for (user_id, values), user_known in zip(replies, known, strict=True)
        ]


def feast_request(user_ids: Sequence[str], *, feature_service: str, join_key: str) -> Any:
    """Return the GetOnlineFeaturesRequest for one or more users."""
    # Importing Feast takes seconds, which callers of other servers should not wait for.
    from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest  # noqa: PLC0415

    message = GetOnlineFeaturesRequest(feature_service=feature_service)
    for user_id in user_ids:
        message.entities[join_key].val.add().string_val = user_id
    return message


def feast_rows(message: Any, user_ids: Sequence[str], *, join_key: str) -> Sequence[Reply]:
    """Return what a GetOnlineFeaturesResponse says. Raises CallError for another number of users."""
    columns = [[_value(value) for value in result.values] for result in message.results]
    rows = _rows(user_ids, message.metadata.feature_names.val, columns, join_key=join_key)
    return [Reply(user_id=user_id, values=values) for user_id, values in rows]


def _rows(
    user_ids: Sequence[str], names: Sequence[str], columns: Sequence[Sequence["Value"]], *, join_key: str
) -> list[tuple[str, dict[str, "Value"]]]:
    """Return the user id and the values of each user. Raises CallError unless each column has a row for each user."""
    if len(names) != len(columns):
        raise CallError("malformed reply", "another number of columns than of names")
    if any(len(column) != len(user_ids) for column in columns):
        raise CallError("another number of users than was asked for")
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    return [(str(values.pop(join_key, None)), values) for values in rows]


def _value(value: Any) -> "Value":
    field = value.WhichOneof("val")
    decoded: Value = None if field in {None, "null_val"} else getattr(value, field)
    return decoded
