"""The subcommand that writes typed features: codegen."""

import argparse
import sys
from pathlib import Path
from uuid import uuid4

from streamflow_features._codegen.contract import CodegenError, contract_services
from streamflow_features._codegen.module import module_source
from streamflow_features._command.asking import AddCommand


def add_commands(add: AddCommand) -> None:
    """Add the subcommand to the parser."""
    codegen = add(
        "codegen",
        help="write a module of typed features from a contract",
        description="Write a module with a frozen dataclass for each feature service of a contract.",
    )
    codegen.add_argument("contract", type=Path, help="the contract, as `feast-contract export` writes it")
    codegen.add_argument("--out", type=Path, metavar="FILE", help="the module to write; default: stdout")
    codegen.add_argument(
        "--check", action="store_true", help="write nothing, and exit with 1 if the module of --out differs"
    )
    codegen.set_defaults(run=_codegen)


def _codegen(options: argparse.Namespace) -> int:
    if options.check and options.out is None:
        raise ValueError("--check compares a file; name it with --out")
    source = _source(options.contract)
    out: Path | None = options.out
    if out is None:
        sys.stdout.write(source)
    elif not out.exists() or out.read_bytes() != source.encode():
        if options.check:
            raise CodegenError(f"{out} differs from {options.contract}; write it again without --check")
        _replace(out, source)
    return 0


def _source(contract: Path) -> str:
    try:
        return module_source(contract_services(contract.read_bytes()))
    except CodegenError as error:
        raise CodegenError(f"{contract}: {error}") from error


def _replace(path: Path, text: str) -> None:
    # In one step: an import at the same time never finds half a module.
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.new")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
