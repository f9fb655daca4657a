"""Names and values as a page shows them."""

from streamflow_logs.exceptions import one_line

MAX_SHOWN = 200
"""How many characters of a name or a value are shown."""


def shown(value: object) -> str:
    """Return a value as text on one line, cut when it is long.

    Control characters are escaped, those too that turn the direction of writing.
    """
    text = str(value)
    cut = f"… ({len(text):,} characters)" if len(text) > MAX_SHOWN else ""
    return one_line(text[:MAX_SHOWN]) + cut
