"""Who leaves in a month: in the first by the profile, in the later ones by the behaviour."""

import numpy as np

from streamflow_offline.generate.behaviour import Behaviour
from streamflow_offline.generate.profiles import Profiles
from streamflow_offline.generate.randomness import Bools, Purpose, coins, stream

_MONTHS_PER_YEAR = 12
_LOG_ODDS = -0.63
_LOG_ODDS_PER_YEAR = -0.431
_LOG_ODDS_BY_NET = np.array([0, 0.969, -0.762])
_LOG_ODDS_BY_CONTRACT = np.array([0, -0.833, -1.632])
_LOG_ODDS_PAPERLESS = 0.383
_LOG_ODDS_SENIOR = 0.313
_LOG_ODDS_DEPENDENTS = -0.198
_LOG_ODDS_TV = 0.297
_LOG_ODDS_MOVIES = 0.313
"""A logistic regression on the first observed month; net services and contracts are in the order of their names."""

_CHANCE = 0.10
_CHANCE_FAILED_PAYMENT = 0.15
_CHANCE_TICKET = 0.15
_CHANCE_LITTLE_WATCHED = 0.14
"""The near-additive rates of the second observed month's eight groups of users."""

_LITTLE_WATCHED_H = 29.2
"""The median of the second observed month; fixed, so that a block's labels don't depend on the other blocks."""


def first_labels(profiles: Profiles, *, seed: int, block: int) -> Bools:
    """Draw who leaves in the first month: fiber, monthly contracts and short membership make it likely."""
    log_odds = (
        _LOG_ODDS
        + _LOG_ODDS_PER_YEAR * profiles.months_active / _MONTHS_PER_YEAR
        + _LOG_ODDS_BY_NET[profiles.net]
        + _LOG_ODDS_BY_CONTRACT[profiles.contract]
        + _LOG_ODDS_PAPERLESS * profiles.paperless
        + _LOG_ODDS_SENIOR * profiles.is_senior
        + _LOG_ODDS_DEPENDENTS * profiles.has_dependents
        + _LOG_ODDS_TV * profiles.tv
        + _LOG_ODDS_MOVIES * profiles.movies
    )
    return coins(stream(Purpose.LABELS, seed=seed, block=block), 1 / (1 + np.exp(-log_odds)))


def later_labels(behaviour: Behaviour, *, seed: int, block: int, month: int) -> Bools:
    """Draw who leaves in a later month: failed payments, tickets and little watching each make it likelier."""
    chances = (
        _CHANCE
        + _CHANCE_FAILED_PAYMENT * (behaviour.failed_payments_90d > 0)
        + _CHANCE_TICKET * (behaviour.support_tickets_90d > 0)
        + _CHANCE_LITTLE_WATCHED * (behaviour.watch_hours_30d < _LITTLE_WATCHED_H)
    )
    return coins(stream(Purpose.LABELS, seed=seed, block=block, month=month), chances)
