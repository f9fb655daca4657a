"""Definitions become a contract, with what the gateway can't serve left out."""

from typing import Any

from feast_contract import entities, on_demand, services, views
from feast_contract.definitions import Definitions
from feast_contract.descriptions import descriptions
from feast_contract.errors import ContractError, left_out_lines
from feast_contract.file import CONTRACT_VERSION, Contract, contract_hash
from feast_contract.left_out import LeftOut


def build_contract(definitions: Definitions, *, strict: bool = False) -> Contract:
    """Return the contract of some definitions.

    All lists of definitions are sorted by name, whatever their order; features stand in definition order. `left_out`
    has the definitions that the gateway can't serve, and what stands on them, with the reasons. `hash` is "sha256:" and
    the digest of everything else but `descriptions`. With `strict`, raises ContractError when anything is left out.
    """
    left_out = LeftOut()
    keys = entities.servable(definitions, left_out)
    served_views = views.servable(definitions.views, keys, left_out)
    computed = on_demand.servable(definitions.on_demand_views, served_views, keys, left_out)
    sets = services.servable(definitions.services, keys, served_views, computed, left_out)
    if strict and left_out.entries:
        raise ContractError("the gateway can't serve all definitions: " + "; ".join(left_out_lines(left_out.entries)))
    content: dict[str, Any] = {
        "version": CONTRACT_VERSION,
        "project": definitions.project,
        "entities": [entities.entry(keys[name]) for name in sorted(keys)],
        "feature_views": [views.entry(served_views[name]) for name in sorted(served_views)],
        "on_demand_feature_views": [on_demand.entry(computed[name]) for name in sorted(computed)],
        "feature_services": [sets[name] for name in sorted(sets)],
        "descriptions": descriptions(
            keys, served_views, computed, (service for service in definitions.services if service.name in sets)
        ),
        "left_out": left_out.entries,
    }
    return {**content, "hash": contract_hash(content)}
