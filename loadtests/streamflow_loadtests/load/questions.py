"""Which users a call asks for, drawn from those that the store has."""

import random
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from streamflow_loadtests.load.scenarios import Kind


@dataclass(frozen=True)
class Question:
    """What one call asks."""

    user_ids: tuple[str, ...]
    kind: Kind

    @property
    def known(self) -> bool:
        """Whether the store has the users."""
        return self.kind is not Kind.UNKNOWN

    @property
    def name(self) -> str:
        """The same words for all calls of a kind."""
        return f"{len(self.user_ids)} users" if self.kind is Kind.BATCH else self.kind.value


class Population:
    """All users that may be asked for; shared by those who draw."""

    def __init__(self, user_ids: Sequence[str], *, zipf_exponent: float) -> None:
        """Take the store's users; of hot ones, the first is the hottest."""
        self.user_ids = user_ids
        self.known: Collection[str] = frozenset(user_ids)
        # Zipf: the user of rank n is asked for in proportion to 1 / n to the exponent.
        self.zipf = list(accumulate(1 / rank**zipf_exponent for rank in range(1, len(user_ids) + 1)))


class Draw:
    """One caller's questions; the same seed draws the same ones."""

    def __init__(
        self, population: Population, *, asks: Mapping[Kind, float], batch_size: int, seed: str, batches: bool
    ) -> None:
        """Draw from what a scenario asks, without batches for a target that has no such call."""
        self._population = population
        self._kinds = [kind for kind in asks if batches or kind is not Kind.BATCH]
        self._weights = [asks[kind] for kind in self._kinds]
        self._batch_size = min(batch_size, len(population.user_ids))
        self._random = random.Random(seed)  # noqa: S311  # repeatable draws, not secrets

    def question(self) -> Question:
        """Return the next question."""
        [kind] = self._random.choices(self._kinds, self._weights)
        return Question(tuple(self._users(kind)), kind)

    def _users(self, kind: Kind) -> Sequence[str]:
        users = self._population.user_ids
        match kind:
            case Kind.ONE:
                return (self._random.choice(users),)
            case Kind.BATCH:
                return self._random.sample(users, self._batch_size)
            case Kind.HOT:
                return self._random.choices(users, cum_weights=self._population.zipf)
            case Kind.UNKNOWN:
                return (self._unknown(),)

    def _unknown(self) -> str:
        """Return an id of the known ones' form that is none of them."""
        while True:
            made = "".join(map(self._like, self._random.choice(self._population.user_ids)))
            if made not in self._population.known:
                return made

    def _like(self, character: str) -> str:
        for alphabet in (string.digits, string.ascii_uppercase, string.ascii_lowercase):
            if character in alphabet:
                return self._random.choice(alphabet)
        return character
