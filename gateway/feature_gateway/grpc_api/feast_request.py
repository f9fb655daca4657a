"""Reads Feast's GetOnlineFeaturesRequest: what it selects, and the columns of its rows; pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from streamflow.features.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.access.caller import ANYONE, Caller
from feature_gateway.clipping import listed
from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api.feast_values import python_values
from feature_gateway.lookup.keys import unknown

_MAX_REMEMBERED = 1024


class FeastQuestion(NamedTuple):
    """What a request asks."""

    feature_set: FeatureSet

    full_names: bool
    """Whether the reply has full feature names."""

    columns: Mapping[str, Sequence[Any]]
    """Python values by name, as the request has them."""

    encoded_key: Callable[[str], bytes]
    """Returns the column of a join key that the request has: the values as a feast.types.RepeatedValue."""


def question_of(request: GetOnlineFeaturesRequest, contract: Contract, *, caller: Caller = ANYONE) -> FeastQuestion:
    """Return what a caller's request asks; raise GatewayError for a selection that can't be answered, or may not be.

    Also raises GatewayError for request_context that has what is not request data of these features, or what entities
    has too. The columns are not checked further.
    """
    feature_set = _selected(request, contract, caller)

    def encoded_key(name: str) -> bytes:
        key = request.entities[name]
        # What is left are values alone.
        key.DiscardUnknownFields()
        return key.SerializeToString()

    return FeastQuestion(feature_set, request.full_feature_names, _columns_of(request, feature_set), encoded_key)


def _selected(request: GetOnlineFeaturesRequest, contract: Contract, caller: Caller) -> FeatureSet:
    if request.feature_service:
        caller.check_service(request.feature_service)
        feature_set = contract.feature_set_of_service(request.feature_service)
    elif request.features.val:
        caller.check_references(request.features.val, most=contract.feature_count)
        feature_set = contract.feature_set_of_references(request.features.val, field="features.val")
    else:
        by_service = request.WhichOneof("kind") == "feature_service"
        raise GatewayError(
            ErrorReason.ERROR_REASON_FEATURE_SERVICE_EMPTY
            if by_service
            else ErrorReason.ERROR_REASON_FEATURE_REFERENCES_EMPTY,
            'The request selects nothing; name a feature_service, or list features such as "feature_view:feature".',
            field="feature_service" if by_service else "features",
        )
    if not request.full_feature_names:
        _check_names(feature_set)
    return feature_set


def _columns_of(request: GetOnlineFeaturesRequest, feature_set: FeatureSet) -> dict[str, list[Any]]:
    """Return the values of a request's columns by name.

    Request data can be in entities, where Feast's HTTP API and `feast listen` have them.
    """
    columns = {name: python_values(column) for name, column in request.entities.items()}
    if request.request_context:
        known = {column.name for column in feature_set.columns if column.kind is ColumnKind.REQUEST_DATA}
        for name, column in request.request_context.items():
            if name not in known:
                raise unknown(name, feature_set, is_request_data=True)
            if name in columns:
                raise GatewayError(
                    ErrorReason.ERROR_REASON_REQUEST_DATA_INVALID,
                    f"{name} is in entities and in request_context; once is enough.",
                    field=f"request_context.{name}",
                    metadata={"name": name, "takes": "values in one of entities and request_context"},
                )
            columns[name] = python_values(column)
    return columns


def _check_names(feature_set: FeatureSet) -> None:
    clashes = _clashes(feature_set)
    if clashes:
        raise GatewayError(
            ErrorReason.ERROR_REASON_FEATURE_NAME_CLASH,
            f"Several of the features are named {clashes}; set full_feature_names.",
            field="full_feature_names",
            metadata={"names": clashes},
        )


@lru_cache(maxsize=_MAX_REMEMBERED)
def _clashes(feature_set: FeatureSet) -> str:
    """Return the names that several features have; empty for none."""
    count = Counter(feature.feature for feature in feature_set.features)
    return listed([name for name, times in count.items() if times > 1])
