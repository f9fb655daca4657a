"""What a read is asked for and what it gives: the seam between merging calls and asking servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from feature_gateway.contract import FeatureSet
from feature_gateway.features import UserRow


@dataclass(frozen=True, slots=True)
class ReadReport:
    """How a read went, for whoever asks."""

    retried: bool = False
    hedged: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A user's row, and how it was read."""

    row: UserRow
    queue_s: float
    upstream_s: float
    batch_size: int
    report: ReadReport

    stale_age_s: float | None = None
    """How long ago the row was read, when it is one remembered; it was then in no read, and the rest is zero."""


class Reader(Protocol):
    """What rows are read from."""

    async def read_rows(
        self, feature_set: FeatureSet, user_ids: Sequence[str], *, principal: str, timeout_s: float
    ) -> tuple[list[UserRow], ReadReport]:
        """Return one row a user, in order; raise GatewayError."""
        ...
