"""`feast-contract`: writes the contract of a Feast repository to a file, or compares it with a file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from feast_contract.build import build_contract
from feast_contract.compare import differences
from feast_contract.errors import ContractError, left_out_lines
from feast_contract.file import Contract, read_contract, write_contract


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 with the reason on the terminal."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ContractError as error:
        _say(f"feast-contract: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="feast-contract",
        description="The contract of a Feast repository: what the feature gateway has to know of what is applied.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    export = commands.add_parser("export", help="write the contract of what is applied to a file")
    _add_repo(export)
    export.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the contract; the file is replaced in one step"
    )
    export.add_argument(
        "--strict", action="store_true", help="write nothing, and exit 1, if the gateway can't serve a definition"
    )
    export.set_defaults(run=_export)

    check = commands.add_parser("check", help="exit 1 if what is applied differs from a contract, and say how")
    _add_repo(check)
    check.add_argument("--contract", type=Path, required=True, metavar="FILE", help="the contract to compare with")
    check.set_defaults(run=_check)
    return parser


def _add_repo(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--repo",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the folder of feature_store.yaml, in which you run `feast apply`; default: this folder",
    )


def _export(options: argparse.Namespace) -> int:
    contract = _applied(options.repo)
    if options.strict and contract["left_out"]:
        _say(f"feast-contract: {options.out} is not written: correct what is left out, or export without --strict")
        return 1
    write_contract(contract, options.out)
    return 0


def _check(options: argparse.Namespace) -> int:
    committed = read_contract(options.contract)
    found = differences(_applied(options.repo), committed, name=str(options.contract))
    for line in found:
        _say(line)
    if found:
        _say(f"feast-contract: {options.contract} differs from what is applied; run `feast apply` or export it again")
    return 1 if found else 0


def _applied(repo: Path) -> Contract:
    """Return the contract of what is applied, and tell what it leaves out."""
    from feast_contract.registry import read_definitions  # noqa: PLC0415  # Feast takes seconds to import, which --help should not

    contract = build_contract(read_definitions(repo.absolute()))
    for line in left_out_lines(contract["left_out"]):
        _say(f"left out: {line}")
    return contract


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
