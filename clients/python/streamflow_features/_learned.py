"""What a client has learned of its gateways: the users that a batch can have, and the types of the contract."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, ListFeatureServicesResponse

from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._features import UserFeatures

_MAX_BATCH_USERS = 1000
"""What a gateway accepts by default."""

MAX_DESCRIPTIONS = 3
"""How often gateways are asked for a description, when they answer by another contract than the batch."""

_MAX_CONTRACTS = 8

_Types = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Contract:
    by_service: Mapping[str, _Types]
    """The features' names and types of each feature service, in the order of results."""

    by_reference: _Types

    def described(self, request: BatchGetUserFeaturesRequest, names: Sequence[str]) -> _Types:
        """Return the types of the features that a request selects, as far as feature services have them.

        `names` are the features' names in the results; empty when they are not known.
        """
        selection = request.WhichOneof("selection")
        if selection == "feature_service":
            return self.by_service.get(request.feature_service, {})
        if selection == "feature_references":
            references = request.feature_references.references
            by_position = zip(names, references, strict=True) if len(names) == len(references) else ()
            return {
                name: self.by_reference[reference] for name, reference in by_position if reference in self.by_reference
            }
        # Only the gateway knows its default feature service.
        candidates = [types for types in self.by_service.values() if list(types) == list(names)]
        return {name: candidates[0][name] for name in names if len({types[name] for types in candidates}) == 1}


@dataclass(slots=True)
class Learned:
    """What a client has learned. Threads can share it."""

    max_batch_users: int = _MAX_BATCH_USERS
    """How many users are asked for in one request."""

    _contracts: dict[str, _Contract] = field(default_factory=dict)

    def lacks_types(self, batch: UserFeaturesBatch) -> bool:
        """Return whether the description of the batch's contract would say more of its types.

        A batch of no users has no contract yet, and can have any. A batch that no gateway answered has none.
        """
        told = batch.contract_hash in self._contracts or (batch and not batch.contract_hash)
        return not told and _is_open(batch)

    def completed(self, batch: UserFeaturesBatch, request: BatchGetUserFeaturesRequest) -> UserFeaturesBatch:
        """Return the batch with the types that the contract says."""
        contract = self._contracts.get(batch.contract_hash)
        if contract is None or not _is_open(batch):
            return batch
        described = contract.described(request, list(batch.dtypes))
        dtypes = {name: batch.dtypes.get(name) or described.get(name) for name in batch.dtypes or described}
        return replace(batch, dtypes=dtypes)

    def learn(self, reply: ListFeatureServicesResponse, batch: UserFeaturesBatch) -> UserFeaturesBatch:
        """Remember a contract's descriptions. Return the batch; one of no users gets this contract."""
        services = reply.feature_services
        contract = _Contract(
            {service.name: {feature.name: feature.dtype for feature in service.features} for service in services},
            {feature.feature_reference: feature.dtype for service in services for feature in service.features},
        )
        kept = list(self._contracts.items())[1 - _MAX_CONTRACTS :]
        # Another dict, because threads read the one that is there.
        self._contracts = {**dict(kept), reply.contract_hash: contract}
        return batch or replace(batch, contract_hash=reply.contract_hash)


def _is_open(batch: UserFeaturesBatch) -> bool:
    """Return whether types are not known yet, or features at all because no user has any."""
    return None in batch.dtypes.values() or not any(isinstance(result, UserFeatures) for result in batch)
