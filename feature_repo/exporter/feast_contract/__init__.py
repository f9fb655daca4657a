"""The contract of any Feast repository: what the feature gateway and its callers need to know, without Feast.

What needs Feast is in `feast_contract.registry` and `feast_contract.messages`: importing Feast takes seconds.
"""

from feast_contract.build import build_contract
from feast_contract.compare import differences, lacking
from feast_contract.definitions import Definitions
from feast_contract.errors import ContractError, left_out_lines
from feast_contract.file import CONTRACT_VERSION, Contract, contract_hash, contract_text, read_contract, write_contract

__all__ = [
    "CONTRACT_VERSION",
    "Contract",
    "ContractError",
    "Definitions",
    "build_contract",
    "contract_hash",
    "contract_text",
    "differences",
    "lacking",
    "left_out_lines",
    "read_contract",
    "write_contract",
]
