"""Text in columns, for people."""

from collections.abc import Iterable, Sequence

from streamflow_features._values import Value

_MAX_ELEMENTS = 4


def in_columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return one line for each row; the cells of a column begin at the same place."""
    kept = list(rows)
    widths = [max(map(len, column), default=0) for column in zip(*kept, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in kept]


def shown(value: Value) -> str:
    """Return a value as text: of a list the first four elements and their number.

    A text that would break a line, or steer a terminal, is quoted.
    """
    if isinstance(value, tuple):
        cells = [
            *map(shown, value[:_MAX_ELEMENTS]),
            *([f"… {len(value)} in all"] if len(value) > _MAX_ELEMENTS else []),
        ]
        return f"[{', '.join(cells)}]"
    if isinstance(value, str) and not value.isprintable():
        return repr(value)
    return "null" if value is None else str(value)
