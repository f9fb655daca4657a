"""Reads the results of a batch's reply."""

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.user_feature_service_pb2 import UserResult

from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._batch_reply import BatchReply
from streamflow_features._dtypes import SeenDtypes
from streamflow_features._errors import FeatureServingError, from_call_error, undecodable, wrong_count
from streamflow_features._features import ServingInfo, UserFeatures, features_of_user, serving_info_of, stale_age_s_of
from streamflow_features._known_shapes import KnownShapes

_Result = UserFeatures | FeatureServingError
# All clients of a process ask for much the same.
_shapes = KnownShapes()


def result_of(reply: BatchReply, position: int, *, serving_info: ServingInfo | None = None) -> _Result:
    """Return the result of one user; `serving_info` is what features have as theirs. Raises DecodeError."""
    return _read(reply.results[position], reply.contract_hash, serving_info)[0]


def batch_of(reply: BatchReply, user_ids: Sequence[str]) -> UserFeaturesBatch:
    """Return the results of a reply for these users. Raises Internal for a reply that can't be theirs."""
    if len(reply.results) != len(user_ids):
        raise wrong_count(len(reply.results), users=len(user_ids))
    seen, results = SeenDtypes(), []
    try:
        for serialized in reply.results:
            result, features = _read(serialized, reply.contract_hash, None)
            results.append(result)
            if features:
                seen.see(features)
    except DecodeError as error:
        raise undecodable() from error
    return UserFeaturesBatch(
        user_ids,
        results,
        contract_hash=reply.contract_hash,
        serving_info=serving_info_of(reply.serving_info),
        dtypes=seen.by_name,
    )


def _read(
    serialized: bytes, contract_hash: str, serving_info: ServingInfo | None
) -> tuple[_Result, Sequence[feature_pb2.Feature]]:
    """Return the result of a UserResult, and features that have the types of the result's."""
    read = _shapes.read(serialized, contract_hash, serving_info)
    if read is not None:
        return read
    result = UserResult.FromString(serialized)
    if result.HasField("error"):
        return from_call_error(result.error), ()
    user = result.user_features
    _shapes.learn(serialized, user)
    features = features_of_user(
        user, contract_hash=contract_hash, serving_info=serving_info, stale_age_s=stale_age_s_of(result)
    )
    return features, user.features
