"""What is wrong with the form of a CSV file, in words."""

from collections.abc import Sequence

from streamflow_offline.ingest.problems import BadFileError, Problem, shown

MAX_ROW_LENGTH = 131_072
"""How many characters a row may have: as many as Python's `csv` takes for one field."""


def check_header(written: str, found: Sequence[str], columns: Sequence[str]) -> None:
    """Raise BadFileError unless a header has exactly the expected columns in their order."""
    if found == columns:
        return
    differences = [
        *(f"{name} is missing" for name in columns if name not in found),
        *(f"{shown(name)} is unknown" for name in dict.fromkeys(found) if name not in columns),
        *(f"{name} is there twice" for name in columns if found.count(name) > 1),
    ]
    if not differences or not set(found) & set(columns):
        differences = [f"{shown(written)} is another header or order"]
    text = f"{', '.join(differences)}; expected the header {','.join(columns)}"
    raise BadFileError(Problem(text=text).add([1]))


def wrong_number(written: str, fields: Sequence[str], expected: int) -> str:
    """Return the text for a row with another number of fields."""
    return f"{shown(written)} has {len(fields)} field{'s' if len(fields) > 1 else ''}; expected {expected}"


def misquoted(text: str, quote: int, first_line: int, what: str) -> BadFileError:
    """Return the error for a quote in a wrong place."""
    start = text.rfind("\n", 0, quote) + 1
    line = text[start:].partition("\n")[0]
    found = f"{shown(line)} {what}; the rows after it were not checked"
    return BadFileError(Problem(text=found).add([first_line + text.count("\n", 0, start)]))


def too_long(row: str, line: int) -> BadFileError:
    """Return the error for a row over `MAX_ROW_LENGTH`."""
    text = f"{shown(row)} is too long for a row; expected at most {MAX_ROW_LENGTH:,} characters, and each quote closed"
    return BadFileError(Problem(text=text).add([line]))
