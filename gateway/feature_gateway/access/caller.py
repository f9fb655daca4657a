"""Who makes a call, what the caller may read, and how much of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from feature_gateway.access.budget import Budget
from feature_gateway.access.refusals import denied

ENDLESS_S = float("inf")


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What an identity may read, by names; None for all of a kind."""

    feature_services: frozenset[str] | None = None
    feature_views: frozenset[str] | None = None
    calls_per_s: float | None = None
    users_per_s: float | None = None


ALL = Rights()
NOTHING = Rights(feature_services=frozenset(), feature_views=frozenset())


class Caller:
    """Who makes a call. Immutable but for what is left of the budget, which all callers of an identity share."""

    __slots__ = ("_budget", "_rights", "key", "until_s")

    def __init__(
        self, key: str, rights: Rights = ALL, *, budget: Budget | None = None, until_s: float = ENDLESS_S
    ) -> None:
        """Create a caller; None is a budget without limits."""
        self.key = key
        """What the caller's calls merge by and take turns by: the identity."""
        self.until_s = until_s
        """When the credentials end, in seconds since 1970."""
        self._rights = rights
        self._budget = budget

    def spend(self, users: int = 0) -> None:
        """Count a call for some users.

        Raises GatewayError: RATE_LIMITED if the identity has asked too much, PERMISSION_DENIED if it may do nothing.
        """
        if self._rights is NOTHING:
            raise denied()
        if self._budget is not None:
            self._budget.spend(users)

    @property
    def may_read_all(self) -> bool:
        """Whether all feature services and feature views may be read."""
        return self._rights.feature_services is None and self._rights.feature_views is None

    def may_read_service(self, name: str) -> bool:
        """Return whether a feature service may be read and described, which need not exist."""
        services = self._rights.feature_services
        return services is None or name in services

    def check_service(self, name: str) -> None:
        """Raise GatewayError (PERMISSION_DENIED) for a feature service that may not be read, known or not."""
        if not self.may_read_service(name):
            raise denied()

    def may_read_view(self, name: str) -> bool:
        """Return whether single features of a feature view may be read, which need not exist."""
        views = self._rights.feature_views
        return views is None or name in views

    def check_references(self, references: Sequence[str], *, most: int) -> None:
        """Raise GatewayError (PERMISSION_DENIED) for a reference to a view that may not be read, known or not.

        More than `most` references are left to who refuses them.
        """
        views = self._rights.feature_views
        if views is None or len(references) > most:
            return
        if any(reference.partition(":")[0] not in views for reference in references):
            raise denied()


ANYONE = Caller("")
"""A caller without credentials where none are needed."""
