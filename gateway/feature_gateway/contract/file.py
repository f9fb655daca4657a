"""Loads the contract's file, and checks it against its hash and its own terms."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from feature_gateway.contract.content import ContractError, contract_of
from feature_gateway.contract.model import Contract
from feature_gateway.contract.notes import notes_of

CONTRACT_VERSION = 2


def load_contract(path: Path) -> Contract:
    """Return the contract of a file; raise ContractError, with the reason, if the file can't be used."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ContractError(
            f"{path} can't be read ({error.strerror}); `offline apply` and `feast-contract export` write it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{path} is not JSON: {error}") from error
    try:
        return _parse(content)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError, re.error) as error:
        raise ContractError(f"{path} has not the form of a contract: {type(error).__name__}: {error}") from error


def _parse(content: dict[str, Any]) -> Contract:
    version = content["version"]
    if version != CONTRACT_VERSION:
        raise ContractError(
            f"version {version!r}, and this gateway reads version {CONTRACT_VERSION}; "
            "write it again with `offline apply` or `feast-contract export`"
        )
    claimed = content.pop("hash")
    # What people wrote of definitions is no part of the hash.
    notes = notes_of(content.pop("descriptions", None))
    actual = _hash(content)
    if claimed != actual:
        raise ContractError(f"its hash is {claimed} and its content's {actual}: it was edited by hand or damaged")
    return replace(contract_of(content, contract_hash=actual), notes=notes)


def _hash(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
