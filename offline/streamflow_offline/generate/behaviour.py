"""How the users watch, pay and ask for help: drawn for the first month, and drifting from each month to the next."""

from dataclasses import dataclass, replace

import numpy as np

from streamflow_offline.generate.observed import Net
from streamflow_offline.generate.profiles import Profiles
from streamflow_offline.generate.randomness import BLOCK_USERS, Floats, Ints, Purpose, stream

# All are fits to StreamFlow's observed data.
_WATCH_BASE_H = 20.0
_WATCH_H_PER_FEE = 0.15
_WATCH_SPREAD_H = 5.0
_WATCH_MIN_H = 1.0
"""Below all that was observed: of a million users, one or so would watch less than nothing without it."""

_WATCH_DRIFT = 0.98
_WATCH_DRIFT_SPREAD = 0.03

_SESSION_MEAN_MIN = 30.0
_SESSION_SPREAD_MIN = 6.0
_SESSION_MIN_MIN = 1.0
_MAX_DEVICES = 3
_SKIPS_MEAN = 5.0
_REBUFFERS_MEAN_DSL = 3.0
_REBUFFERS_MEAN = 2.0
_REBUFFERS_DRIFT = 0.3

_PAYMENTS = 2
_PAYMENT_FAILS_CHANCE = 0.08
_PAYMENT_FAILS_DRIFT = 0.03

_TICKETS_MEAN = 0.3
_TICKETS_DRIFT = 0.05
_RESOLUTION_MEAN_H = 10.0
_RESOLUTION_SPREAD_H = 4.0
_RESOLUTION_MIN_H = 1.0


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """One block of users in one month; arrays of one value a user, named as the columns of the files."""

    watch_hours_30d: Floats
    avg_session_mins_7d: Floats
    unique_devices_30d: Ints
    skips_7d: Ints
    rebuffer_events_7d: Ints
    failed_payments_90d: Ints
    support_tickets_90d: Ints
    ticket_avg_resolution_hrs_90d: Floats


def first_behaviour(profiles: Profiles, *, seed: int, block: int) -> Behaviour:
    """Draw the first month's behaviour.

    Watch hours follow the fee and rebuffering the net service; nothing else depends on the profile. The resolution
    time is there without tickets too, as observed. The session length varies by user, as in the two months observed;
    an older description of StreamFlow, of one value shared by all users, does not hold for them.
    """
    rng = stream(Purpose.BEHAVIOUR, seed=seed, block=block)
    watch_h = _WATCH_BASE_H + _WATCH_H_PER_FEE * profiles.monthly_fee + rng.normal(0, _WATCH_SPREAD_H, BLOCK_USERS)
    session_min = np.maximum(_SESSION_MIN_MIN, rng.normal(_SESSION_MEAN_MIN, _SESSION_SPREAD_MIN, BLOCK_USERS))
    resolution_h = np.maximum(_RESOLUTION_MIN_H, rng.normal(_RESOLUTION_MEAN_H, _RESOLUTION_SPREAD_H, BLOCK_USERS))
    return Behaviour(
        watch_hours_30d=np.maximum(_WATCH_MIN_H, watch_h),
        avg_session_mins_7d=session_min.round(2),
        unique_devices_30d=rng.integers(1, _MAX_DEVICES, BLOCK_USERS, endpoint=True),
        skips_7d=rng.poisson(_SKIPS_MEAN, BLOCK_USERS),
        rebuffer_events_7d=rng.poisson(np.where(profiles.net == Net.DSL, _REBUFFERS_MEAN_DSL, _REBUFFERS_MEAN)),
        failed_payments_90d=rng.binomial(_PAYMENTS, _PAYMENT_FAILS_CHANCE, BLOCK_USERS),
        support_tickets_90d=rng.poisson(_TICKETS_MEAN, BLOCK_USERS),
        ticket_avg_resolution_hrs_90d=resolution_h.round(1),
    )


def next_behaviour(previous: Behaviour, *, seed: int, block: int, month: int) -> Behaviour:
    """Draw a month's behaviour from that of the month before.

    Users watch 2% less on average, and more of them rebuffer, fail to pay and ask for help; the rest stays. Two months
    were observed; later ones go on in the same way, so the drift adds up.
    """
    rng = stream(Purpose.BEHAVIOUR, seed=seed, block=block, month=month)
    watch_h = previous.watch_hours_30d * rng.normal(_WATCH_DRIFT, _WATCH_DRIFT_SPREAD, BLOCK_USERS)
    return replace(
        previous,
        watch_hours_30d=np.maximum(_WATCH_MIN_H, watch_h),
        rebuffer_events_7d=previous.rebuffer_events_7d + rng.poisson(_REBUFFERS_DRIFT, BLOCK_USERS),
        failed_payments_90d=previous.failed_payments_90d + (rng.random(BLOCK_USERS) < _PAYMENT_FAILS_DRIFT),
        support_tickets_90d=previous.support_tickets_90d + (rng.random(BLOCK_USERS) < _TICKETS_DRIFT),
    )
