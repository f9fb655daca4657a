"""Malformed inputs made of good ones, and what a fuzz run may cost."""

import gc
import os
import random
from pathlib import Path
from typing import Any

INPUTS = int(os.environ.get("FUZZ_REQUESTS", "2000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))

_MAX_GROWTH_BYTES = 32_000_000
_ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        -(2**63),
        1.5,
        1e308,
        5e-324,
        "",
        "x",
        "é名",
        "a" * 1000,
        "\x00",
        "\n",
    ),
    *([], {}, [None], [[]], {"": None}, [1, "x"], {"val": 1}, "NaN", "Infinity", "1", "true", "AAAA", "a(", "a{99999}"),
    *("1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "2024-02-29T00:00:00.1234567890Z"),
    *(
        "2024-02-29T00:00:00.x",
        "2024-02-29",
        "Z",
        "+",
        "T00:00:00Z",
        "٢٠٢٤-02-29T00:00:00Z",
        "String",
        "Int64",
        "Bytes",
    ),
)


def generator() -> random.Random:
    """A generator that a run with the same FUZZ_SEED repeats."""
    return random.Random(SEED)  # noqa: S311  # repeatable on purpose


def with_odd_parts(rng: random.Random, content: Any) -> Any:
    """JSON with some parts replaced, left out or doubled; the content itself stays as it is."""
    if rng.random() < 0.04:  # one part in 25
        return rng.choice(_ODD)
    if isinstance(content, dict):
        return {name: with_odd_parts(rng, part) for name, part in content.items() if rng.random() > 0.01}  # one in 100
    if isinstance(content, list):
        parts_of_list = [with_odd_parts(rng, part) for part in content]
        if parts_of_list and rng.random() < 0.02:  # one in 50
            parts_of_list.insert(rng.randrange(len(parts_of_list)), rng.choice(parts_of_list))
        return parts_of_list
    return content


def mutated(rng: random.Random, message: bytes) -> bytes:
    """Bytes as they are, or with some changed, cut, doubled, put in or made up."""
    how = rng.randrange(6)
    at = rng.randrange(len(message) + 1)
    if how == 0:
        return rng.randbytes(rng.randrange(200))
    if how == 1:
        return message[:at] + rng.randbytes(rng.randrange(1, 6)) + message[at + 5 :]
    if how == 2:  # one of six ways
        return message[:at]
    if how == 3:  # the same
        return message + message
    if how == 4:  # the same
        return message[:at] + rng.randbytes(rng.randrange(1, 9)) + message[at:]
    return message


class Memory:
    """Watches that the process's memory stays flat from a fifth of a run on."""

    def __init__(self) -> None:
        self._settled_bytes: int | None = None

    def look(self, done: int) -> None:
        if self._settled_bytes is None and done >= INPUTS // 5:
            self._settled_bytes = _resident_bytes()

    @property
    def growth_bytes(self) -> int:
        return _resident_bytes() - (self._settled_bytes or 0)

    def assert_flat(self) -> None:
        assert self._settled_bytes is not None
        assert self.growth_bytes < _MAX_GROWTH_BYTES


def _resident_bytes() -> int:
    gc.collect()
    statm = Path("/proc/self/statm")
    # Only Linux tells it.
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if statm.exists() else 0
