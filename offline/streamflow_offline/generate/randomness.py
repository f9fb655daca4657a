"""The random streams of the generator: one for each purpose, block of users and month."""

from typing import Literal, TypeAlias, get_args

import numpy as np

BLOCK_USERS = 16_384
"""The number of users drawn together. This number bounds the generator's memory.

Every block is drawn whole, also when fewer users are wanted. A user's values therefore depend only on the seed and on
the user's position.
"""

Purpose: TypeAlias = Literal["ids", "profiles", "behaviour", "labels"]
"""What a stream is for. A change to the draws of one purpose leaves the values of the others alone."""


def stream(purpose: Purpose, *, seed: int, block: int = 0, month: int = 0) -> np.random.Generator:
    """Return a stream that is independent of all others, and the same for the same arguments."""
    key = (get_args(Purpose).index(purpose), block, month)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
