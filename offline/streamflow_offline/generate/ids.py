"""User ids in StreamFlow's form, four digits and five letters. No two users of a seed share an id."""

from typing import Any

import numpy as np
import numpy.typing as npt

from streamflow_offline.generate.randomness import stream

_DIGIT_PARTS, _LETTER_PARTS = 10**4, 26**5
_DIGIT_POWERS = 10 ** np.arange(4, dtype=np.uint64)[::-1]
_LETTER_POWERS = 26 ** np.arange(5, dtype=np.uint64)[::-1]

MAX_USERS = _DIGIT_PARTS * _LETTER_PARTS
"""The number of different ids."""

_FIRST_DIGITS, _FIRST_LETTERS = 3413, 677_330
"""3413-BMNZE, its letters as a number in base 26: the first user of every seed, so that examples can name a user."""


def user_ids(*, seed: int, start: int, count: int) -> list[str]:
    """Return the ids of the users at the positions `start` to `start + count - 1`.

    A Feistel network turns a position into an id. The network is one-to-one, so no id repeats, and the function needs
    no memory of earlier ids. A shift of all ids by the same amount then makes the first id 3413-BMNZE.
    """
    keys = stream("ids", seed=seed).integers(0, 2**64, size=(4, 2), dtype=np.uint64)
    positions = np.append(np.arange(start, start + count, dtype=np.uint64), np.uint64(0))
    letters, digits = np.divmod(positions, _DIGIT_PARTS)
    for digit_key, letter_key in keys:
        digits = (digits + _mix(letters ^ digit_key)) % _DIGIT_PARTS
        letters = (letters + _mix(digits ^ letter_key)) % _LETTER_PARTS
    digits = (digits[:-1] + (_DIGIT_PARTS - digits[-1] + _FIRST_DIGITS)) % _DIGIT_PARTS
    letters = (letters[:-1] + (_LETTER_PARTS - letters[-1] + _FIRST_LETTERS)) % _LETTER_PARTS
    characters = np.full((count, 10), ord("-"), dtype=np.uint8)
    characters[:, :4] = digits[:, None] // _DIGIT_POWERS % 10 + ord("0")
    characters[:, 5:] = letters[:, None] // _LETTER_POWERS % 26 + ord("A")
    return [row.decode() for row in characters.view("S10").ravel().tolist()]


def _mix(words: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # splitmix64: a small change of the input spreads over all bits.
    for multiplier in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        words = (words ^ (words >> 31)) * multiplier
    # Half a word: a whole word plus a part of an id could pass 2**64, and the network would not be one-to-one.
    return np.asarray((words ^ (words >> 31)) >> 32)
