"""The contract of what is applied, of which the gateway has to be able to serve all."""

from feast import FeatureStore
from feast_contract import Contract, build_contract
from feast_contract.messages import definitions_in


def applied_contract(store: FeatureStore) -> Contract:
    """Return the contract of the registry's definitions. Raises ContractError if the gateway can't serve one."""
    return build_contract(definitions_in(store.registry.proto(), project=store.project), strict=True)
