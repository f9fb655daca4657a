"""`feature-gateway-tokens`: makes, lists and revokes the tokens of a file."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from feature_gateway.access.token_file import NAME, TokenLine, digest_of, new_token, texts_and_lines_of

_VARIABLE = "GATEWAY_TOKENS_FILE"


def main(arguments: Sequence[str] | None = None) -> None:
    """Change or list the tokens of a file; exit 1 with one line on standard error if that can't be done.

    `add` prints the token, which is written nowhere.
    """
    given = _parser().parse_args(arguments)
    try:
        lines = texts_and_lines_of(given.file.read_bytes()) if given.file.exists() else []
        if given.command == "add":
            token = new_token()
            made = datetime.now(UTC).date().isoformat()
            new = TokenLine(given.name, digest_of(token), made)
            _write(given.file, [*(text for text, _ in lines), str(new)])
            print(token)  # noqa: T201  # what the command is for
        elif given.command == "remove":
            _write(given.file, _without(lines, given.name, keep_last=given.keep_last))
        else:
            for line in (line for _, line in lines if line is not None):
                print(line.name, line.made)  # noqa: T201  # the same
    except OSError as error:
        sys.exit(f"feature-gateway-tokens: {given.file}: {error.strerror}")
    except ValueError as error:
        sys.exit(f"feature-gateway-tokens: {given.file}: {error}")


def _without(lines: Sequence[tuple[str, TokenLine | None]], name: str, *, keep_last: bool) -> list[str]:
    of_name = [line for _, line in lines if line is not None and line.name == name]
    if not of_name:
        raise ValueError(f"it has no token of {name}")
    gone = of_name[:-1] if keep_last else of_name
    return [text for text, line in lines if line not in gone]


def _write(path: Path, lines: Sequence[str]) -> None:
    """Replace the file at once, so that a gateway never reads a part of it; it keeps the mode that it had."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        new.chmod(mode)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "it has up to 128 letters, digits and ._@/-, and begins with one of the former"
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="feature-gateway-tokens", description="Make, list and revoke the tokens of a gateway's callers."
    )
    default = os.environ.get(_VARIABLE)
    parser.add_argument(
        "--file",
        type=Path,
        default=Path(default) if default else None,
        required=not default,
        help=f"the file of tokens; by default {_VARIABLE}",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="make a token and print it; earlier ones of the name stay valid")
    add.add_argument("name", type=_name, metavar="NAME")
    remove = commands.add_parser("remove", help="revoke the tokens of a name")
    remove.add_argument("name", type=_name, metavar="NAME")
    remove.add_argument("--keep-last", action="store_true", help="but the one that was made last")
    commands.add_parser("list", help="show the names, and the days on which their tokens were made")
    return parser


if __name__ == "__main__":
    main()
