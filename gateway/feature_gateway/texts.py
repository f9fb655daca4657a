"""The values of settings, from their texts; each function raises ValueError with what it takes."""

import re
from pathlib import Path

_MAX_PORT = 65535


def text_of(text: str) -> str:
    """Return a text that is not empty."""
    if not text:
        raise ValueError("it takes a text that is not empty")
    return text


def port_of(text: str) -> int:
    """Return a port; 0 stands for any free one."""
    if not text.isdecimal() or int(text) > _MAX_PORT:
        raise ValueError(f"it takes a port from 0 (any free one) to {_MAX_PORT}")
    return int(text)


def port_if_any_of(text: str) -> int | None:
    """Return a port; None for an empty text."""
    return port_of(text) if text else None


def hosts_of(text: str) -> tuple[str, ...]:
    """Return the hosts of a text with commas between them, in lower case; none for an empty text."""
    hosts = _list_of(text)
    if not all(re.fullmatch(r"([\w.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?", host, re.ASCII) for host in hosts):
        raise ValueError("it takes HOST or HOST:PORT with commas between them, such as features.example.com")
    return hosts


def origins_of(text: str) -> tuple[str, ...]:
    """Return the origins of a text with commas between them, in lower case; none for an empty text."""
    origins = _list_of(text)
    if not all(re.fullmatch(r"https?://[^/,\s?#@]+", origin) for origin in origins):
        raise ValueError("it takes origins with commas between them, such as https://app.example.com")
    return origins


def _list_of(text: str) -> tuple[str, ...]:
    return tuple(part.strip().lower() for part in text.split(",")) if text else ()


def count_of(text: str) -> int:
    """Return a whole number from 1."""
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("it takes a whole number from 1")
    return int(text)


def count_from_0_of(text: str) -> int:
    """Return a whole number from 0."""
    if not text.isdecimal():
        raise ValueError("it takes a whole number from 0")
    return int(text)


def seconds_of(text: str) -> float:
    """Return a finite number of seconds from 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError("it takes a number of seconds, such as 0.5")
    return seconds


def some_seconds_of(text: str) -> float:
    """Return a finite number of seconds above 0."""
    seconds = seconds_of(text)
    if seconds == 0:
        raise ValueError("it takes a number of seconds above 0, such as 0.5")
    return seconds


def switch_of(text: str) -> bool:
    """Return whether it is true."""
    if text not in {"true", "false"}:
        raise ValueError("it takes true or false")
    return text == "true"


def engine_of(text: str) -> str:
    """Return a gRPC engine's name."""
    if text not in {"grpcio", "native"}:
        raise ValueError("it takes grpcio or native")
    return text


def authorization_of(text: str) -> str:
    """Return what can be a header."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError("it takes printable ASCII on one line")
    return text


def path_if_any_of(text: str) -> Path | None:
    """Return a path; None for an empty text."""
    return Path(text) if text else None


def authorization_in(path: Path) -> str:
    """Return the header that a file holds."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise ValueError(f"it can't be read ({error.strerror})") from error
    if not text:
        raise ValueError("it is empty")
    return authorization_of(text)
