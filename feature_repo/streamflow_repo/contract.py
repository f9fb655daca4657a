"""contract.json: the contract of the definitions in this package, whether they are applied or not."""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from feast import FeatureView
from feast_contract import Contract, ContractError, build_contract, contract_text, write_contract
from feast_contract.messages import definitions_of
from streamflow_logs import log_failure

from streamflow_repo import CONTRACT_PATH, PROJECT, definitions
from streamflow_repo.errors import SettingError


def repo_contract() -> Contract:
    """Return the contract of the definitions in this package. Raises ContractError if the gateway can't serve one."""
    return build_contract(definitions_of(_objects(), project=PROJECT), strict=True)


def repo_views() -> dict[str, FeatureView]:
    """Return the feature views that this package defines, by name."""
    return {view.name: view for view in _objects() if isinstance(view, FeatureView)}


def _objects() -> Iterator[Any]:
    """Yield what the definitions' modules define, each once."""
    names = [module.name for module in pkgutil.iter_modules(definitions.__path__, f"{definitions.__name__}.")]
    values = {id(value): value for name in names for value in vars(importlib.import_module(name)).values()}
    yield from values.values()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write contract.json, or with --check compare it with the definitions; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m streamflow_repo.contract", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if contract.json differs from the definitions")
    parser.add_argument("--path", type=Path, default=CONTRACT_PATH, help="the file to write; default: %(default)s")
    options = parser.parse_args(arguments)
    # Who exports alone needs no driver of a store.
    from streamflow_repo.logs import configure_logs  # noqa: PLC0415

    try:
        configure_logs()
        contract = repo_contract()
        if not options.check:
            write_contract(contract, options.path)
            return 0
    except (ContractError, SettingError) as error:
        log_failure(f"contract: {error}", str(error))
        return 1
    if not CONTRACT_PATH.exists() or CONTRACT_PATH.read_text(encoding="utf-8") != contract_text(contract):
        reason = "contract.json differs from the definitions; write it again with `make contract`"
        log_failure(f"contract: {reason}", reason)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
