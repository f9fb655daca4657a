"""`feast-contract`: writes the contract of a Feast repository to a file, or compares it with a file."""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from streamflow_logs import Event, LogSettingError, LogSettings, configure, log_failure, writes_json

from feast_contract.build import build_contract
from feast_contract.compare import differences, lacking
from feast_contract.errors import ContractError, left_out_lines
from feast_contract.file import Contract, read_contract, write_contract

_WAIT_INTERVAL_S = 2.0

_log = logging.getLogger("feast_contract")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 with the reason on the terminal."""
    options = _parser().parse_args(arguments)
    try:
        configure(LogSettings.from_environment(os.environ), own=["feast_contract"])
        return int(options.run(options))
    except (ContractError, LogSettingError) as error:
        log_failure(f"feast-contract: {error}", str(error))
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

    wait = commands.add_parser(
        "wait", help="exit 0 once what is applied has all that readers by a contract need; it may have more"
    )
    _add_repo(wait)
    wait.add_argument("--contract", type=Path, required=True, metavar="FILE", help="the contract of the readers")
    wait.set_defaults(run=_wait)
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
        reason = f"{options.out} is not written: correct what is left out, or export without --strict"
        log_failure(f"feast-contract: {reason}", reason)
        return 1
    write_contract(contract, options.out)
    return 0


def _check(options: argparse.Namespace) -> int:
    committed = read_contract(options.contract)
    found = differences(_applied(options.repo), committed, name=str(options.contract))
    for line in found:
        _say(line, Event("contract differs", reason=line))
    if found:
        reason = f"{options.contract} differs from what is applied; run `feast apply` or export it again"
        log_failure(f"feast-contract: {reason}", reason)
    return 1 if found else 0


def _wait(options: argparse.Namespace) -> int:
    # The first process of a container ignores SIGTERM unless it has a handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    contract = read_contract(options.contract)
    told: list[str] = []
    while missing := _missing(options.repo, contract, name=str(options.contract)):
        if missing != told:
            lines = "\n".join(missing)
            _say(lines, Event("waiting for definitions", reason=lines))
            if not writes_json():
                sys.stderr.write("feast-contract: waiting until this is applied\n")
            told = missing
        time.sleep(_WAIT_INTERVAL_S)
    return 0


def _missing(repo: Path, contract: Contract, *, name: str) -> list[str]:
    """Return a line for each thing that readers by a contract miss, or why that is not known."""
    from feast_contract.registry import read_definitions  # noqa: PLC0415  # see _applied

    try:
        return lacking(build_contract(read_definitions(repo.absolute())), contract, name=name)
    except ContractError as error:
        return [str(error)]


def _applied(repo: Path) -> Contract:
    """Return the contract of what is applied, and tell what it leaves out."""
    from feast_contract.registry import read_definitions  # noqa: PLC0415  # Feast takes seconds to import, which --help should not

    contract = build_contract(read_definitions(repo.absolute()))
    for line in left_out_lines(contract["left_out"]):
        _say(f"left out: {line}", Event("definition left out", reason=line))
    return contract


def _say(lines: str, event: Event) -> None:
    """Write lines for people, or an event for programs."""
    if writes_json():
        _log.warning(event)
    else:
        sys.stderr.write(f"{lines}\n")


if __name__ == "__main__":
    sys.exit(main())
