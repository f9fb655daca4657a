"""The gateway's own API, over gRPC and over HTTP."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc
import orjson
from google.protobuf.message import DecodeError
from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_NOT_FOUND, UserFeatures
from streamflow.features.v1.user_feature_service_pb2 import (
    DESCRIPTOR,
    BatchGetUserFeaturesRequest,
    BatchGetUserFeaturesResponse,
    FeatureReferences,
    GetUserFeaturesRequest,
    GetUserFeaturesResponse,
)

from streamflow_loadtests.callers.calls import Reply, Request
from streamflow_loadtests.callers.errors import CallError

if TYPE_CHECKING:
    from streamflow_features import Value

_SERVICE = DESCRIPTOR.services_by_name["UserFeatureService"].full_name
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class GatewayGrpc:
    """`GetUserFeatures` for one user, `BatchGetUserFeatures` for more."""

    def __init__(self, *, feature_service: str | None = None, references: Sequence[str] = ()) -> None:
        """Creates requests for a feature service, or for feature references."""
        self._selection: dict[str, Any] = (
            {"feature_references": FeatureReferences(references=references)}
            if feature_service is None
            else {"feature_service": feature_service}
        )

    def message(self, user_ids: Sequence[str]) -> GetUserFeaturesRequest | BatchGetUserFeaturesRequest:
        """Return the message for one or more users."""
        if len(user_ids) == 1:
            return GetUserFeaturesRequest(user_id=user_ids[0], **self._selection)
        return BatchGetUserFeaturesRequest(user_ids=user_ids, **self._selection)

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for one or more users."""
        method = "GetUserFeatures" if len(user_ids) == 1 else "BatchGetUserFeatures"
        body = self.message(user_ids).SerializeToString()
        return Request(user_ids=tuple(user_ids), path=f"/{_SERVICE}/{method}", body=body)

    def replies(self, request: Request, reply: bytes) -> Sequence[Reply]:
        """Return what the message says. Raises CallError for a user of a batch that got an error."""
        if len(request.user_ids) == 1:
            return [reply_of(_parsed(GetUserFeaturesResponse, reply).user_features)]
        return batch_replies(_parsed(BatchGetUserFeaturesResponse, reply))


class GatewayHttp:
    """`GET /features/{user_id}`, which has no call for several users."""

    def __init__(self, *, feature_service: str, timeout_s: float) -> None:
        self._query = f"feature_service={quote(feature_service)}&timeout_s={timeout_s:g}"

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for one user."""
        [user_id] = user_ids
        return Request(user_ids=(user_id,), path=f"/features/{quote(user_id, safe='')}?{self._query}", body=b"")

    def replies(self, _: Request, reply: bytes) -> Sequence[Reply]:
        """Return what the JSON says."""
        try:
            found = orjson.loads(reply)
            return [Reply(user_id=found["user_id"], values=found["features"], user_known=found["user_known"])]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise malformed(reply) from error


def _parsed(message: Any, reply: bytes) -> Any:
    """Return a reply's message of a generated class. Raises CallError."""
    try:
        return message.FromString(reply)
    except DecodeError as error:
        raise CallError("malformed reply", f"not a {message.DESCRIPTOR.name}") from error


def malformed(reply: bytes) -> CallError:
    """Return the error for a reply that can't be read, with the reply's first bytes."""
    return CallError("malformed reply", reply[:200].decode(errors="replace"))


def batch_replies(message: BatchGetUserFeaturesResponse) -> Sequence[Reply]:
    """Return what a batch's message says. Raises CallError for a user that got an error."""
    for result in message.results:
        if result.HasField("error"):
            code = _CODES.get(result.error.code, result.error.code)
            raise CallError(f"a user of the batch: {code}", result.error.message)
    return [reply_of(result.user_features) for result in message.results]


def reply_of(user: UserFeatures) -> Reply:
    """Return what a message says of one user."""
    values: dict[str, Value] = {}
    for feature in user.features:
        field = feature.WhichOneof("value")
        values[feature.name] = None if field is None else getattr(feature, field)
    not_found = frozenset(feature.name for feature in user.features if feature.status == FEATURE_STATUS_NOT_FOUND)
    return Reply(user_id=user.user_id, values=values, user_known=user.user_known, not_found=not_found)
