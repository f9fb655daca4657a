"""Executes a notebook in its folder and writes its outputs, or checks that they still are what the notebook has.

    python examples/python/execute_notebook.py examples/python/churn.ipynb [--check]

What a cell prints and returns is compared as text. A picture is compared by whether it is there, as its bytes depend on
fonts.
"""

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient

_VERSION = 4
_TIMEOUT_S = 300


def executed(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Return a notebook as a new kernel executes it in a folder. Raises nbclient's CellExecutionError."""
    fresh: nbformat.NotebookNode = nbformat.from_dict(notebook)
    # Times of execution would differ each time.
    client = NotebookClient(
        fresh, timeout=_TIMEOUT_S, record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    # The kernel writes its version.
    fresh.metadata = notebook.metadata
    return fresh


def lines_of(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """Yield what a notebook's cells are and give, as far as it is the same each time."""
    for number, cell in enumerate(notebook.cells, start=1):
        yield f"cell {number}, {cell.cell_type}"
        yield from cell.source.splitlines()
        for output in cell.get("outputs", []):
            data = output.get("data", {"text/plain": output.get("text", "")})
            yield f"output {output.output_type}: {', '.join(sorted(data))}"
            if "image/png" not in data:
                yield from str(data.get("text/plain", "")).splitlines()


def main() -> None:
    """Execute a notebook. Exits with 1 when --check finds another output."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--check", action="store_true", help="compare the outputs, and write nothing")
    arguments = parser.parse_args()
    file: Path = arguments.notebook
    before = nbformat.read(file, as_version=_VERSION)
    after = executed(before, file.parent)
    if not arguments.check:
        nbformat.write(after, file)
        return
    differences = list(difflib.unified_diff(list(lines_of(before)), list(lines_of(after)), "committed", "executed"))
    print("\n".join(differences))
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
