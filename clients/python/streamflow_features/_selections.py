"""What calls select beside their users: calls of the same selection may share a request."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Unpack

from streamflow.features.v1.request_data_pb2 import RequestData
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, GetUserFeaturesRequest

from streamflow_features._queries import QueryOptions, StalenessPolicy, batch_request, user_request
from streamflow_features._request_data import RequestDataValue, request_values

_MAX_REMEMBERED = 256


class Selection:
    """All of a call's options but the request data. Equal options give one object while it is remembered."""

    def __init__(self, **options: Unpack[QueryOptions]) -> None:
        """Creates a selection. Raises what `user_request` raises."""
        self._user = user_request("", **options)
        self._batch = batch_request((), **options)

    def user_request(self, user_id: str, request_data: Mapping[str, RequestDataValue] | None) -> GetUserFeaturesRequest:
        """Return the request for one user. Raises TypeError or ValueError for what can't be sent."""
        request = GetUserFeaturesRequest()
        request.CopyFrom(self._user)
        request.user_id = user_id
        if request_data is not None:
            for name, value in request_values(request_data).items():
                request.request_data[name].CopyFrom(value)
        return request

    def batch_request(self, requests: Sequence[GetUserFeaturesRequest]) -> BatchGetUserFeaturesRequest:
        """Return one request for the users of several requests of this selection, each with its own request data."""
        batch = BatchGetUserFeaturesRequest()
        batch.CopyFrom(self._batch)
        batch.user_ids.extend([request.user_id for request in requests])
        if any(request.request_data for request in requests):
            batch.request_data_by_user.extend([RequestData(values=request.request_data) for request in requests])
        return batch


def ask(
    user_id: str,
    *,
    feature_service: str | None = None,
    features: Iterable[str] | None = None,
    max_age_s: float | None = None,
    staleness_policy: StalenessPolicy = StalenessPolicy.FLAG,
    contract_hash: str | None = None,
    include_serving_info: bool = False,
    request_data: Mapping[str, RequestDataValue] | None = None,
) -> tuple[Selection, GetUserFeaturesRequest]:
    """Return the selection and the request of a call. Raises TypeError or ValueError for what can't be asked."""
    # A text is an iterable too, and is refused as such.
    references = features if features is None or isinstance(features, str) else tuple(features)
    selection = _selection(
        feature_service, references, max_age_s, staleness_policy, contract_hash, bool(include_serving_info)
    )
    return selection, selection.user_request(user_id, request_data)


@lru_cache(maxsize=_MAX_REMEMBERED)
def _selection(  # noqa: PLR0917  # positional arguments make the smallest key
    feature_service: str | None,
    features: Sequence[str] | None,
    max_age_s: float | None,
    staleness_policy: StalenessPolicy,
    contract_hash: str | None,
    include_serving_info: bool,  # noqa: FBT001
) -> Selection:
    return Selection(
        feature_service=feature_service,
        features=features,
        max_age_s=max_age_s,
        staleness_policy=staleness_policy,
        contract_hash=contract_hash,
        include_serving_info=include_serving_info,
    )
