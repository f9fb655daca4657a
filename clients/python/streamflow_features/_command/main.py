"""The command's parser, and what becomes of failures."""

import argparse
import os
import sys
from collections.abc import Sequence

from streamflow_features._codegen.contract import CodegenError
from streamflow_features._command import generating, reading, watching
from streamflow_features._errors import FeatureServingError

_FAILED, _WRONG_USE, _INTERRUPTED, _READER_LEFT = 1, 2, 130, 141
# As grpcurl does: each status code has an exit code.
_FIRST_OF_CODES = 64

_EXIT_CODES = """\
exit codes:
  0    done; an unknown user is not an error
  1    a file can't be read or written, or `codegen --check` found a difference
  2    the command, or a variable, is wrong
  64+N the call failed with the gRPC status code N: 67 INVALID_ARGUMENT,
       68 DEADLINE_EXCEEDED, 69 NOT_FOUND, 71 PERMISSION_DENIED,
       72 RESOURCE_EXHAUSTED, 73 FAILED_PRECONDITION, 78 UNAVAILABLE,
       80 UNAUTHENTICATED
  130  interrupted; `watch` ends with 0
  141  the reader of the output has left

Connections are those of the client's STREAMFLOW_FEATURES_... variables. An option
goes before its variable. A token is taken from STREAMFLOW_FEATURES_TOKEN or a
file, because other users of a machine can see a command's options.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. Results go to stdout, and what went wrong to stderr."""
    options = _parser().parse_args(arguments)
    try:
        code = int(options.run(options))
        sys.stdout.flush()
    except FeatureServingError as error:
        return _failed(f"{error.code.name}: {error}", _FIRST_OF_CODES + error.code.value[0])
    except BrokenPipeError:
        # What is not written yet would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_LEFT
    except (CodegenError, OSError) as error:
        return _failed(str(error), _FAILED)
    except (TypeError, ValueError) as error:
        return _failed(str(error), _WRONG_USE)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamflow-features",
        description="Read features from gateways, and write typed features from a contract.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for part in (reading, watching, generating):
        part.add_commands(commands.add_parser)
    return parser


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"streamflow-features: {message}\n")
    return code
