"""Values of users in the messages of errors: people at a terminal see them, logs do not."""

import re

# Noncharacters of Unicode, which `repr` escapes: no message has them otherwise.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_QUOTED = re.compile(f"{_BEGIN}[^{_END}]*{_END}")


def quoted(text: str) -> str:
    """Return a text that has a user's value or id, marked for a JobError's message."""
    return f"{_BEGIN}{text}{_END}"


def revealed(message: str) -> str:
    """Return a message with what is quoted."""
    return message.replace(_BEGIN, "").replace(_END, "")


def concealed(message: str) -> str:
    """Return a message with … for what is quoted."""
    return _QUOTED.sub("…", message)
