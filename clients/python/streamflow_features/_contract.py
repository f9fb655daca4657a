"""The check that a gateway answers by the contract that a client is bound to."""

import grpc

from streamflow_features._errors import error_of
from streamflow_features._queries import QueryOptions
from streamflow_features._reasons import ErrorReason


def checked_hash(contract_hash: str, pinned: QueryOptions) -> str:
    """Return the hash of a gateway's contract. Raises FailedPrecondition if another one is pinned."""
    expected = pinned.get("contract_hash")
    if expected and expected != contract_hash:
        raise error_of(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"The gateway has the contract {contract_hash}, and the client is bound to {expected}; deploy the model"
            " that was built for the gateway's contract, or the contract that the model was built for.",
            reason=ErrorReason.CONTRACT_MISMATCH,
            metadata={"requested_hash": expected, "contract_hash": contract_hash},
        )
    return contract_hash
