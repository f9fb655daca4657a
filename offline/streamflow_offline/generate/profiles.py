"""Who the users are and what they subscribe to: drawn once, and the same in every month."""

from dataclasses import dataclass

import numpy as np

from streamflow_offline.generate import observed
from streamflow_offline.generate.observed import Net
from streamflow_offline.generate.randomness import BLOCK_USERS, Bools, Floats, Ints, Purpose, choices, coins, stream


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """One block of users; arrays of one value a user."""

    net: Ints
    """Indexes into observed.NET_SERVICES."""

    contract: Ints
    """Indexes into observed.CONTRACTS."""

    months_active: Ints
    is_male: Bools
    is_senior: Bools
    has_family: Bools
    has_dependents: Bools
    paperless: Bools

    tv: Bools
    """False without net service, where the files have an empty field; movies likewise."""

    movies: Bools
    fee_cents: Ints
    paid_cents: Ints

    @property
    def has_net(self) -> Bools:
        """Whether each user has a net service, and so may have streaming plans."""
        return np.not_equal(self.net, Net.NONE)

    @property
    def monthly_fee(self) -> Floats:
        """Each user's fee, in currency units."""
        return self.fee_cents / 100


def draw_profiles(*, seed: int, block: int) -> Profiles:
    """Draw a block of users, each attribute given those that StreamFlow's observed data show it to depend on."""
    rng = stream(Purpose.PROFILES, seed=seed, block=block)
    net = choices(rng, np.tile(observed.NET_SHARES, (BLOCK_USERS, 1)))
    contract = choices(rng, observed.CONTRACT_SHARES[net])
    months_active = _months_active(rng, net, contract)
    band = np.searchsorted(observed.MONTHS_ACTIVE_BANDS, months_active)
    has_family = coins(rng, observed.FAMILY_CHANCE[band])
    has_dependents = coins(rng, observed.DEPENDENTS_CHANCE[net, has_family.astype(int)])
    tv = coins(rng, observed.TV_CHANCE[net, band])
    movies = coins(rng, observed.MOVIES_CHANCE[net, band, tv.astype(int)])
    fee_cents = _fee_cents(rng, net, band, plans=tv.astype(int) + movies)
    return Profiles(
        net=net,
        contract=contract,
        months_active=months_active,
        is_male=rng.random(BLOCK_USERS) < observed.MALE_SHARE,
        is_senior=coins(rng, observed.SENIOR_CHANCE[net, has_dependents.astype(int)]),
        has_family=has_family,
        has_dependents=has_dependents,
        paperless=coins(rng, observed.PAPERLESS_CHANCE[net]),
        tv=tv,
        movies=movies,
        fee_cents=fee_cents,
        paid_cents=_paid_cents(rng, fee_cents, months_active),
    )


def _months_active(rng: np.random.Generator, net: Ints, contract: Ints) -> Ints:
    levels = rng.random(BLOCK_USERS)
    months = np.empty(BLOCK_USERS)
    for each_net, each_contract in np.ndindex(observed.MONTHS_ACTIVE_QUANTILES.shape[:2]):
        chosen = (net == each_net) & (contract == each_contract)
        quantiles = observed.MONTHS_ACTIVE_QUANTILES[each_net, each_contract]
        months[chosen] = np.interp(levels[chosen], observed.MONTHS_ACTIVE_LEVELS, quantiles)
    is_new = coins(rng, observed.NEW_USER_CHANCE[contract])
    return np.where(is_new, 0, np.rint(months)).astype(np.int64)


def _fee_cents(rng: np.random.Generator, net: Ints, band: Ints, *, plans: Ints) -> Ints:
    has_phone = coins(rng, observed.PHONE_CHANCE[net])
    extras = rng.binomial(observed.ADD_ONS[net] + has_phone, observed.EXTRA_CHANCE[net, band])
    listed = (
        observed.NET_CENTS[net]
        + observed.PHONE_CENTS * has_phone
        + observed.EXTRA_CENTS * extras
        + observed.STREAM_PLAN_CENTS * plans
    )
    fee = _to_money_step(listed + rng.normal(0, observed.FEE_SPREAD_CENTS[net]))
    return np.clip(fee, observed.MIN_FEE_CENTS[net], observed.MAX_FEE_CENTS[net])


def _paid_cents(rng: np.random.Generator, fee_cents: Ints, months_active: Ints) -> Ints:
    # Prices changed now and then, so the more months, the closer the sum to months x fee; the first month is the fee.
    spread = np.where(months_active > 1, observed.PAID_SPREAD * fee_cents * np.sqrt(months_active), 0)
    paid = _to_money_step(fee_cents * months_active + rng.normal(0, 1, BLOCK_USERS) * spread)
    return np.maximum(paid, np.where(months_active > 0, observed.MONEY_STEP_CENTS, 0))


def _to_money_step(cents: Floats) -> Ints:
    return np.rint(cents / observed.MONEY_STEP_CENTS).astype(np.int64) * observed.MONEY_STEP_CENTS
