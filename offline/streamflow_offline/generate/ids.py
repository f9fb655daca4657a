"""User ids of StreamFlow's form, four digits and five letters, drawn without repeats."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from streamflow_offline.generate.randomness import Purpose, stream

FIRST_USER = "3413-BMNZE"
"""The user who exists in every generated data set, whatever the seed, so that examples can name one."""

_ALPHABET = 26
_DIGIT_PLACES = 4
_LETTER_PLACES = 5
_DIGIT_PARTS = 10**_DIGIT_PLACES
_LETTER_PARTS = _ALPHABET**_LETTER_PLACES

MAX_USERS = _DIGIT_PARTS * _LETTER_PARTS
"""How many different ids there are."""

_ROUNDS = 4
_SHIFT = np.uint64(31)
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
"""The constants of splitmix64, which spreads a small change of its input over all bits."""

_Words: TypeAlias = npt.NDArray[np.uint64]


def user_ids(*, seed: int, start: int, count: int) -> list[str]:
    """Return the ids of the users `start` to `start + count - 1`; no two users of a seed share one.

    The place of a user is turned into the id by a Feistel network, which is one-to-one, so uniqueness needs no memory
    of the ids given out. Shifting all of them by the same amount then makes the first one FIRST_USER.
    """
    keys = stream(Purpose.IDS, seed=seed).integers(0, 2**64, size=(_ROUNDS, 2), dtype=np.uint64)
    digits, letters = _scramble(np.arange(start, start + count, dtype=np.uint64), keys)
    first_digits, first_letters = _scramble(np.zeros(1, dtype=np.uint64), keys)
    wanted_digits, wanted_letters = _parts(FIRST_USER)
    digits = (digits + (_DIGIT_PARTS - first_digits) + wanted_digits) % _DIGIT_PARTS
    letters = (letters + (_LETTER_PARTS - first_letters) + wanted_letters) % _LETTER_PARTS
    return _text(digits, letters)


def _scramble(places: _Words, keys: _Words) -> tuple[_Words, _Words]:
    letters, digits = np.divmod(places, _DIGIT_PARTS)
    for digit_key, letter_key in keys:
        digits = (digits + _mix(letters ^ digit_key)) % _DIGIT_PARTS
        letters = (letters + _mix(digits ^ letter_key)) % _LETTER_PARTS
    return digits, letters


def _mix(words: _Words) -> _Words:
    for multiplier in _MULTIPLIERS:
        words = (words ^ (words >> _SHIFT)) * multiplier
    # The lower half only: a sum with an id's part then cannot pass 2**64, which would break the one-to-one mapping.
    return (words ^ (words >> _SHIFT)) >> np.uint64(32)


def _parts(user_id: str) -> tuple[int, int]:
    digits, letters = user_id.split("-")
    value = 0
    for letter in letters:
        value = value * _ALPHABET + ord(letter) - ord("A")
    return int(digits), value


def _text(digits: _Words, letters: _Words) -> list[str]:
    characters = np.empty((len(digits), _DIGIT_PLACES + 1 + _LETTER_PLACES), dtype=np.uint8)
    for place in reversed(range(_DIGIT_PLACES)):
        digits, rest = np.divmod(digits, 10)
        characters[:, place] = rest + ord("0")
    characters[:, _DIGIT_PLACES] = ord("-")
    for place in reversed(range(_DIGIT_PLACES + 1, characters.shape[1])):
        letters, rest = np.divmod(letters, _ALPHABET)
        characters[:, place] = rest + ord("A")
    return [row.decode() for row in characters.view(f"S{characters.shape[1]}").ravel().tolist()]
