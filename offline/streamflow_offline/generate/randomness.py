"""Where every random number of the generator comes from: one stream for each block of users, month and purpose."""

from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

BLOCK_USERS = 16_384
"""How many users are drawn together.

A block is always drawn whole, even if fewer users are asked for, so that a user's values depend on the seed and on the
user's place alone. It is also what bounds the generator's memory.
"""


class Purpose(IntEnum):
    """What a stream is for; a change to one purpose's draws leaves the others' values as they were."""

    IDS = 0
    PROFILES = 1
    BEHAVIOUR = 2
    LABELS = 3


def stream(purpose: Purpose, *, seed: int, block: int = 0, month: int = 0) -> np.random.Generator:
    """Return the stream of one purpose, independent of all others, and the same for the same arguments."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, block, month)))


def coins(rng: np.random.Generator, chances: Floats) -> Bools:
    """Return True for each of the chances (0 to 1) with that chance."""
    return rng.random(chances.shape) < chances


def choices(rng: np.random.Generator, shares: Floats) -> Ints:
    """Return, for each row of shares (users x options, each row adding up to 1), the index of one option."""
    bounds = np.cumsum(shares, axis=1)[:, :-1]
    chosen: Ints = (rng.random((len(shares), 1)) >= bounds).sum(axis=1)
    return chosen
