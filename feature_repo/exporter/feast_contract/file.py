"""The contract as a file: its text, its hash, written in one step."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from feast_contract.errors import ContractError

CONTRACT_VERSION = 2

# A description that changes makes no difference to a caller.
_NOT_HASHED = frozenset({"hash", "descriptions"})

Contract = dict[str, Any]
"""A contract, as JSON types."""


def contract_hash(content: Mapping[str, Any]) -> str:
    """Return the hash of a contract's content, all but its members "hash" and "descriptions"."""
    hashed = {name: value for name, value in content.items() if name not in _NOT_HASHED}
    canonical = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def contract_text(contract: Contract) -> str:
    """Return the contract as it stands in its file: indented, for review."""
    return json.dumps(contract, indent=2, ensure_ascii=False) + "\n"


def write_contract(contract: Contract, path: Path) -> None:
    """Write a contract to `path`, unless that is what the file has.

    The file is replaced in one step, so that a gateway never reads half of it, whoever else writes to the same path.
    Raises ContractError.
    """
    text = contract_text(contract)
    try:
        if not path.exists() or path.read_bytes() != text.encode():
            _replace(path, text)
    except OSError as error:
        raise ContractError(f"{path} can't be written: {error.strerror}; name a file in a folder of yours") from error


def _replace(path: Path, text: str) -> None:
    # A name of this write alone: two that write at once would otherwise move each other's file away.
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.new")
    try:
        with unfinished.open("x", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_contract(path: Path) -> Contract:
    """Return the contract of a file. Raises ContractError if the file is no contract of this version, or was edited."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ContractError(f"{path} can't be read: {error.strerror}; `feast-contract export` writes it") from error
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{path} is not JSON; write it again with `feast-contract export`") from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != CONTRACT_VERSION:
        raise ContractError(
            f"{path} is no contract of version {CONTRACT_VERSION}, its version is {version!r}; "
            "write it again with `feast-contract export`"
        )
    if content.get("hash") != contract_hash(content):
        raise ContractError(
            f"{path} has another hash than its content: it was edited by hand or damaged; "
            "write it again with `feast-contract export`"
        )
    return dict(content)
