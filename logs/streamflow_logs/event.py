"""What a line of the log says: an event, and the fields that differ from line to line."""

import json


class Event:
    """A message for `logging` whose name is constant, so that lines can be searched and counted by it.

    Formatters of this package show name and fields apart. Any other formatter shows `str(event)`, which has both.
    """

    __slots__ = ("fields", "name")

    def __init__(self, name: str, /, **fields: object) -> None:
        """Create an event; fields that are None are left out."""
        self.name = name
        self.fields = {key: value for key, value in fields.items() if value is not None}

    def __str__(self) -> str:
        """Return the name, and the fields as KEY=VALUE."""
        shown = " ".join(f"{key}={_shown(value)}" for key, value in self.fields.items())
        return f"{self.name}: {shown}" if shown else self.name


def _shown(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # Quoted only where it would not be clear where the value ends.
    return json.dumps(text, ensure_ascii=False) if not text or any(map(_splits, text)) else text


def _splits(character: str) -> bool:
    return character.isspace() or character in '"='
