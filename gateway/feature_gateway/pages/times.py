"""Times and ages in words; pure."""

from datetime import UTC, datetime

from feature_gateway.encoding import NS_PER_S

_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_MAX_YEAR_S = 253_402_300_799


def age_of(seconds: float) -> str:
    """Return an age in the largest unit of which it has two, or exactly one: 2 days, 36 hours, 1 day, 0 seconds."""
    name, size_s = next((unit for unit in _UNITS if seconds >= 2 * unit[1] or seconds == unit[1]), _UNITS[-1])
    count = int(seconds / size_s)
    return f"{count:,} {name}" + ("" if count == 1 else "s")


def ago_of(seconds: float) -> str:
    """Return how long ago something was, or how far ahead of now it is."""
    return f"{age_of(seconds)} ago" if seconds >= 0 else f"{age_of(-seconds)} ahead of now"


def moment_of(stamp_ns: int) -> str:
    """Return nanoseconds since 1970 as a date and a time of UTC, in seconds."""
    stamp_s = stamp_ns // NS_PER_S
    if not -_MAX_YEAR_S <= stamp_s <= _MAX_YEAR_S:
        return f"{stamp_s:,} s since 1970"
    try:
        return f"{datetime.fromtimestamp(stamp_s, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError):
        return f"{stamp_s:,} s since 1970"
