"""`python -m streamflow_local.with_variables FILE COMMAND …`: execute COMMAND with variables of a JSON file.

The supervisor's own file can't hold every value, and quotes what it can't read, passwords too.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str]) -> None:
    """Execute the command with the variables of FILE, which win over those that this process has."""
    variables = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    command = list(arguments[1:])
    os.execve(command[0], command, {**os.environ, **variables})  # noqa: S606  # a command of the stack


if __name__ == "__main__":
    main(sys.argv[1:])
