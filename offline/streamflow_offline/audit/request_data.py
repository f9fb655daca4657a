"""The request data that an audit makes up, the same for both sides."""

import random
import string
from collections.abc import Callable, Mapping
from typing import Any

from streamflow_offline.errors import JobError

_DRAWS: Mapping[str, Callable[[random.Random], Any]] = {
    "Bool": lambda drawn: drawn.random() < 0.5,  # noqa: PLR2004  # as often as not
    "Int32": lambda drawn: drawn.randrange(1000),
    "Int64": lambda drawn: drawn.randrange(1000),
    # A Float32 holds quarters exactly.
    "Float32": lambda drawn: drawn.randrange(4000) / 4,
    "Float64": lambda drawn: drawn.randrange(100_000) / 100,
    "String": lambda drawn: "".join(drawn.choices(string.ascii_lowercase, k=8)),
}


class MadeUpRequestData:
    """Request data that follows from the seed, the user and the name alone, so every read has the same."""

    def __init__(self, dtypes: Mapping[str, str], *, seed: int) -> None:
        """Creates request data of some names and types. Raises JobError for lists."""
        self.dtypes = dict(dtypes)
        self._seed = seed
        for name, dtype in self.dtypes.items():
            if dtype not in _DRAWS:
                raise JobError(
                    f"the feature service needs the request data {name}, {dtype}, which the audit can't make up; "
                    "audit another feature service with --feature-service"
                )

    def of(self, user_id: str) -> dict[str, Any]:
        """Return a user's request data by name."""
        # Nothing secret depends on these values.
        return {
            name: _DRAWS[dtype](random.Random(f"{self._seed} {name} {user_id}"))  # noqa: S311
            for name, dtype in self.dtypes.items()
        }

    def only(self, names: Mapping[str, str]) -> "MadeUpRequestData":
        """Return the same values for other names and types."""
        return MadeUpRequestData(names, seed=self._seed)


NO_REQUEST_DATA = MadeUpRequestData({}, seed=0)
"""For feature services without on-demand features."""
