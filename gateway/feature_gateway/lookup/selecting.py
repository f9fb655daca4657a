"""Finds what a query selects; pure."""

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError
from feature_gateway.lookup.query import Query


class Selecting:
    """Finds feature sets, and remembers the default one of the contract in service."""

    def __init__(self, *, default_feature_service: str, user_entity: str) -> None:
        """Create it; an empty `default_feature_service` is the only one of `user_entity`."""
        self._default_feature_service = default_feature_service
        self._user_entity = user_entity
        self._default: tuple[Contract, FeatureSet | None, str] | None = None

    def selected(self, contract: Contract, query: Query) -> FeatureSet:
        """Return what a query selects; raise GatewayError for a fault in its contract or its selection.

        What its caller may not read is PERMISSION_DENIED whether or not there is such a thing.
        """
        if query.contract_hash and query.contract_hash != contract.hash:
            raise GatewayError(
                ErrorReason.ERROR_REASON_CONTRACT_MISMATCH,
                "The request was built for another contract than the gateway answers by.",
                metadata={"requested_hash": query.contract_hash[:100], "contract_hash": contract.hash},
            )
        selection, caller = query.selection, query.caller
        if selection.references is not None:
            caller.check_references(selection.references, most=contract.feature_count)
            return contract.feature_set_of_references(selection.references)
        if selection.feature_service is not None:
            caller.check_service(selection.feature_service)
            return contract.feature_set_of_service(selection.feature_service)
        if self._default is None or self._default[0] is not contract:
            found = contract.default_feature_set(
                feature_service=self._default_feature_service, user_entity=self._user_entity
            )
            name = next((name for name, feature_set in contract.services.items() if feature_set is found), "")
            self._default = contract, found, name
        _, default, name = self._default
        if default is None:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_SERVICE_EMPTY,
                "The request selects nothing, and the gateway has no default feature service; name one.",
                field="feature_service",
            )
        caller.check_service(name)
        return default
