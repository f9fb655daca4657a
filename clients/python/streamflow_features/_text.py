"""A user's features as text, one line for each feature."""

from streamflow_features._features import UserFeatures, Value

_MAX_ELEMENTS = 4


def as_lines(features: UserFeatures) -> list[str]:
    """Return one line for each feature, in columns: name, value, status, event timestamp.

    Of a list, the line has the first four elements and their number.
    """
    rows = [
        (
            name,
            _text(value),
            features.statuses[name].name,
            stamp.isoformat() if (stamp := features.event_timestamps[name]) else "-",
        )
        for name, value in features.items()
    ]
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _text(value: Value) -> str:
    if isinstance(value, tuple):
        shown = [
            *map(_text, value[:_MAX_ELEMENTS]),
            *([f"… {len(value)} in all"] if len(value) > _MAX_ELEMENTS else []),
        ]
        return f"[{', '.join(shown)}]"
    return "null" if value is None else str(value)
