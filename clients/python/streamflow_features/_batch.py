"""The results of a batch, one for each user."""

from collections.abc import Iterator, Sequence
from typing import overload

from streamflow.features.v1 import user_feature_service_pb2

from streamflow_features._errors import FeatureServingError, from_call_error
from streamflow_features._features import ServingInfo, UserFeatures, serving_info_of, stale_age_s_of


class UserFeaturesBatch(Sequence[UserFeatures | FeatureServingError]):
    """One result for each user id, in the order of the request.

    A result is the user's features, or the error that a call for that user alone would have raised.
    """

    def __init__(self, response: user_feature_service_pb2.BatchGetUserFeaturesResponse) -> None:
        """Creates the results of a reply."""
        self.contract_hash: str = response.contract_hash
        """The hash of the gateway's contract."""
        self.serving_info: ServingInfo | None = serving_info_of(response)
        """How the batch was served: the maxima of times and sizes. None unless the call has include_serving_info."""
        self._results = [_result(result, response.contract_hash) for result in response.results]

    @overload
    def __getitem__(self, index: int) -> UserFeatures | FeatureServingError: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[UserFeatures | FeatureServingError]: ...

    def __getitem__(
        self, index: int | slice
    ) -> UserFeatures | FeatureServingError | Sequence[UserFeatures | FeatureServingError]:
        return self._results[index]

    def __iter__(self) -> Iterator[UserFeatures | FeatureServingError]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)


def _result(result: user_feature_service_pb2.UserResult, contract_hash: str) -> UserFeatures | FeatureServingError:
    if result.HasField("error"):
        return from_call_error(result.error)
    return UserFeatures(result.user_features, contract_hash=contract_hash, stale_age_s=stale_age_s_of(result))
