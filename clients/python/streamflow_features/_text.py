"""A user's features as text, one line for each feature."""

from streamflow_features._features import UserFeatures


def as_lines(features: UserFeatures) -> list[str]:
    """Return one line for each feature, in columns: name, value, status, event timestamp."""
    rows = [
        (
            name,
            "null" if value is None else str(value),
            features.statuses[name].name,
            stamp.isoformat() if (stamp := features.event_timestamps[name]) else "-",
        )
        for name, value in features.items()
    ]
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
