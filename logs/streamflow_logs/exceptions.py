"""Tracebacks without what an exception says, which may be a user's value."""

import traceback

SHOWN: tuple[type[BaseException], ...] = (OSError,)
"""The exceptions whose texts are the system's own."""


def without_texts(error: BaseException, *, shown: tuple[type[BaseException], ...] = SHOWN) -> str:
    """Return the traceback of an exception and of its causes: types and lines of code.

    Texts are there only for the classes of `shown`.
    """
    parts: list[str] = []
    following: BaseException | None = error
    seen: set[int] = set()
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        text = f": {one_line(str(following))}" if isinstance(following, shown) else ""
        parts.append("".join((*traceback.format_tb(following.__traceback__), type(following).__qualname__, text)))
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return "\n".join(("Traceback (most recent call last):", "\n\n".join(reversed(parts))))


def one_line(text: str) -> str:
    """Return a text with control characters, line breaks among them, escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
