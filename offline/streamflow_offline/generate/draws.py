"""The values of a block of users, by fits to StreamFlow's observed data."""

from collections.abc import Iterator
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from streamflow_offline.generate import observed
from streamflow_offline.generate.randomness import BLOCK_USERS, stream

Array: TypeAlias = npt.NDArray[Any]
Columns: TypeAlias = dict[str, Array]
"""Arrays with one value per user, by the column's name in the CSV files."""

_MONEY_STEP_CENTS = 5
"""All amounts are multiples of this one."""

_MIN_WATCH_H = 1.0
"""Below every observed value. Without this limit, about one user in a million would watch less than 0 hours."""

_LITTLE_WATCHED_H = 29.2
"""The median of the second observed month. It is fixed so that a block's labels don't depend on other blocks."""


def draw_profiles(*, seed: int, block: int) -> Columns:
    """Return the columns that are the same in every month: those of users and subscriptions.

    Each attribute is drawn given the attributes that it depends on in the observed data. `net_service` and
    `contract_type` are indexes into NET_SERVICES and CONTRACTS; `user_gender` is True for male.
    """
    rng = stream("profiles", seed=seed, block=block)
    net = _choices(rng, observed.NET_SHARES)
    contract = _choices(rng, observed.CONTRACT_SHARES[net])
    levels = rng.random(BLOCK_USERS)
    curves = [np.interp(levels, observed.MONTHS_ACTIVE_LEVELS, row) for row in observed.MONTHS_ACTIVE_QUANTILES]
    months = np.rint(np.choose(len(observed.CONTRACTS) * net + contract, curves)).astype(np.int64)
    months[_coins(rng, observed.NEW_USER_CHANCE[contract])] = 0
    band = np.searchsorted(observed.MONTHS_ACTIVE_BANDS, months)
    family = _coins(rng, observed.FAMILY_CHANCE[band])
    dependents = _coins(rng, observed.DEPENDENTS_CHANCE[net, family.astype(int)])
    tv = _coins(rng, observed.TV_CHANCE[net, band])
    movies = _coins(rng, observed.MOVIES_CHANCE[net, band, tv.astype(int)])
    phone = _coins(rng, observed.PHONE_CHANCE[net])
    extras = rng.binomial(observed.ADD_ONS[net] + phone, observed.EXTRA_CHANCE[net, band])
    listed = observed.NET_CENTS[net] + observed.PHONE_CENTS * phone + observed.EXTRA_CENTS * extras
    listed += observed.STREAM_PLAN_CENTS * (tv.astype(int) + movies)
    fee = _to_money_step(listed + rng.normal(0, observed.FEE_SPREAD_CENTS[net]))
    fee = np.clip(fee, observed.MIN_FEE_CENTS[net], observed.MAX_FEE_CENTS[net])
    male = _coins(rng, 0.505)
    senior = _coins(rng, observed.SENIOR_CHANCE[net, dependents.astype(int)])
    paperless = _coins(rng, observed.PAPERLESS_CHANCE[net])
    # Prices changed from time to time, so one month's payment differs from the fee by 20% (standard deviation), and
    # the sum over many months is close to months x fee. The first month's payment is the fee.
    spread = np.where(months > 1, 0.2 * fee * np.sqrt(months), 0)
    paid = _to_money_step(fee * months + rng.normal(0, 1, BLOCK_USERS) * spread)
    return {
        # Observed for every user: 36 less the months active, but counted in days.
        "signup_date": np.datetime64("2022-01-01") + np.maximum(36 - months, 0).astype("timedelta64[D]"),
        "user_gender": male,
        "user_is_senior": senior,
        "has_family": family,
        "has_dependents": dependents,
        "months_active": months,
        "plan_stream_tv": tv,
        "plan_stream_movies": movies,
        "contract_type": contract,
        "paperless_billing": paperless,
        "monthly_fee": fee / 100,
        "total_paid": np.maximum(paid, np.where(months > 0, _MONEY_STEP_CENTS, 0)) / 100,
        "net_service": net,
    }


def draw_months(profiles: Columns, *, seed: int, block: int) -> Iterator[Columns]:
    """Yield the columns of usage, payments, support and labels, month by month without end.

    Each month, users watch 2% less on average, and more users rebuffer, fail to pay and ask for help; the other
    behaviour stays. Two months were observed. Later months go on in the same way, so the drift adds up.
    """
    columns = _first_behaviour(profiles, stream("behaviour", seed=seed, block=block))
    churn_chances = _first_churn_chances(profiles)
    for month in count(1):
        churned = _coins(stream("labels", seed=seed, block=block, month=month - 1), churn_chances)
        yield columns | {"churn_label": churned}
        rng = stream("behaviour", seed=seed, block=block, month=month)
        watch_h = columns["watch_hours_30d"] * rng.normal(0.98, 0.03, BLOCK_USERS)
        columns = columns | {
            "watch_hours_30d": np.maximum(_MIN_WATCH_H, watch_h),
            "rebuffer_events_7d": columns["rebuffer_events_7d"] + rng.poisson(0.3, BLOCK_USERS),
            "failed_payments_90d": columns["failed_payments_90d"] + _coins(rng, 0.03),
            "support_tickets_90d": columns["support_tickets_90d"] + _coins(rng, 0.05),
        }
        # The rates of the second observed month's eight groups of users, which are nearly additive.
        churn_chances = 0.10 + 0.15 * (columns["failed_payments_90d"] > 0) + 0.15 * (columns["support_tickets_90d"] > 0)
        churn_chances += 0.14 * (columns["watch_hours_30d"] < _LITTLE_WATCHED_H)


def _first_behaviour(profiles: Columns, rng: np.random.Generator) -> Columns:
    # Watch hours follow the fee, and rebuffering the net service; no other column depends on the profile. The
    # resolution time is observed for users without tickets too.
    watch_h = 20.0 + 0.15 * profiles["monthly_fee"] + rng.normal(0, 5.0, BLOCK_USERS)
    session_min = rng.normal(30.0, 6.0, BLOCK_USERS)
    resolution_h = rng.normal(10.0, 4.0, BLOCK_USERS)
    return {
        "watch_hours_30d": np.maximum(_MIN_WATCH_H, watch_h),
        "avg_session_mins_7d": np.maximum(1.0, session_min).round(2),
        "unique_devices_30d": rng.integers(1, 3, BLOCK_USERS, endpoint=True),
        "skips_7d": rng.poisson(5.0, BLOCK_USERS),
        "rebuffer_events_7d": rng.poisson(observed.REBUFFERS_MEAN[profiles["net_service"]]),
        "failed_payments_90d": rng.binomial(2, 0.08, BLOCK_USERS),
        "support_tickets_90d": rng.poisson(0.3, BLOCK_USERS),
        "ticket_avg_resolution_hrs_90d": np.maximum(1.0, resolution_h).round(1),
    }


def _first_churn_chances(profiles: Columns) -> Array:
    # A logistic regression on the first observed month.
    log_odds = -0.63 + -0.431 * profiles["months_active"] / 12
    log_odds += observed.CHURN_LOG_ODDS_BY_NET[profiles["net_service"]]
    log_odds += observed.CHURN_LOG_ODDS_BY_CONTRACT[profiles["contract_type"]]
    log_odds += 0.383 * profiles["paperless_billing"]
    log_odds += 0.313 * profiles["user_is_senior"]
    log_odds += -0.198 * profiles["has_dependents"]
    log_odds += 0.297 * profiles["plan_stream_tv"]
    log_odds += 0.313 * profiles["plan_stream_movies"]
    return 1 / (1 + np.exp(-log_odds))


def _coins(rng: np.random.Generator, chances: Array | float) -> Array:
    return np.less(rng.random(BLOCK_USERS), chances)


def _choices(rng: np.random.Generator, shares: Array) -> Array:
    # Each row of shares, or the one row for all users, adds up to 1.
    return np.asarray((rng.random((BLOCK_USERS, 1)) >= np.cumsum(shares, axis=-1)[..., :-1]).sum(axis=1))


def _to_money_step(cents: Array) -> Array:
    return np.rint(cents / _MONEY_STEP_CENTS).astype(np.int64) * _MONEY_STEP_CENTS
