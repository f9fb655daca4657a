"""Holds generated data against StreamFlow's observed data, quantity by quantity.

A reference value comes from 7,043 observed users, so it has a sampling error of its own; the behaviour columns were
observed twice, and where the two differ the reference lies between them. Three kinds are the rule's values instead,
which the observed ones agree with: the devices' equal shares, the monthly chances of one more failed payment or ticket,
and the eight rates of later churn.

A tolerance is about three standard errors of the reference (in its group of users, for the conditionals), and wider
where the two observations are further apart, or where the generator's rule is known to be simpler than the data. The
generator's tables were fitted to these references, so this guards them against change; it is no independent proof. The
large sample's own error is small beside the tolerance; for as few users as were observed it is as large again, which
makes the tolerance 1.4 times as wide.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from streamflow_offline.generate.job import generate_months
from streamflow_offline.tables import TABLES

OBSERVED_USERS = 7043
LARGE_SAMPLE_USERS = 130_000
SMALL_SAMPLE_FACTOR = 2**0.5

NET, CONTRACT, MONTHS_ACTIVE = pl.col("net_service"), pl.col("contract_type"), pl.col("months_active")
TV, MOVIES = pl.col("plan_stream_tv"), pl.col("plan_stream_movies")
FEE, PAID, WATCH, WATCH_LATER = (
    pl.col("monthly_fee"),
    pl.col("total_paid"),
    pl.col("watch_hours_30d"),
    pl.col("watch_hours_30d_later"),
)
REBUFFERS, REBUFFERS_LATER = pl.col("rebuffer_events_7d"), pl.col("rebuffer_events_7d_later")
CHURN, CHURN_LATER = pl.col("churn_label"), pl.col("churn_label_later")
FAMILY, DEPENDENTS, SENIOR = pl.col("has_family"), pl.col("has_dependents"), pl.col("user_is_senior")
PAPERLESS = pl.col("paperless_billing")

NETS = ("DSL", "Fiber optic", "No")
CONTRACTS = ("Month-to-month", "One year", "Two year")


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What is measured on users' first and second months, side by side; the second's columns end with _later."""

    name: str
    measure: pl.Expr
    reference: float
    tolerance: float


def _of(name: str, measure: pl.Expr, reference: float, tolerance: float) -> Quantity:
    return Quantity(name=name, measure=measure, reference=reference, tolerance=tolerance)


def _shares() -> Iterator[Quantity]:
    yield _of("male", (pl.col("user_gender") == "Male").mean(), 0.505, 0.018)
    yield _of("senior", SENIOR.mean(), 0.162, 0.013)
    yield _of("family", FAMILY.mean(), 0.483, 0.018)
    yield _of("dependents", DEPENDENTS.mean(), 0.300, 0.017)
    yield _of("paperless", PAPERLESS.mean(), 0.592, 0.018)
    for net, share in zip(NETS, (0.344, 0.440, 0.217), strict=True):
        yield _of(f"net {net}", NET.eq(net).mean(), share, 0.018)
    for contract, share in zip(CONTRACTS, (0.550, 0.209, 0.241), strict=True):
        yield _of(f"contract {contract}", CONTRACT.eq(contract).mean(), share, 0.018)
    yield _of("tv true", TV.fill_null(False).mean(), 0.384, 0.018)
    yield _of("tv null", TV.is_null().mean(), 0.217, 0.015)
    yield _of("movies true", MOVIES.fill_null(False).mean(), 0.388, 0.018)
    for months, share, tolerance in ((0, 0.0016, 0.0014), (1, 0.087, 0.011), (72, 0.051, 0.008)):
        yield _of(f"{months} months active", MONTHS_ACTIVE.eq(months).mean(), share, tolerance)
    for devices in (1, 2, 3):
        yield _of(f"{devices} devices", (pl.col("unique_devices_30d") == devices).mean(), 1 / 3, 0.017)


def _levels() -> Iterator[Quantity]:
    yield _of("months active mean", MONTHS_ACTIVE.mean(), 32.37, 0.9)
    yield _of("months active sd", MONTHS_ACTIVE.std(), 24.56, 0.4)
    yield _of("fee mean", FEE.mean(), 64.76, 1.1)
    yield _of("fee sd", FEE.std(), 30.09, 0.6)
    # Within a net service, a fee's quantile is where the price list's steps are: sparse there, so less sure.
    for level, reference, tolerance in (
        (0.05, 19.65, 0.1),
        (0.25, 35.5, 4),
        (0.5, 70.35, 1),
        (0.75, 89.85, 1),
        (0.95, 107.4, 1.3),
    ):
        yield _of(f"fee quantile {level}", FEE.quantile(level), reference, tolerance)
    yield _of("fee min", FEE.min(), 18.25, 0.25)
    # The one user with everything at the highest price: among so few users, often a user with a little less.
    yield _of("fee max", FEE.max(), 118.75, 2)
    yield _of("paid mean", PAID.mean(), 2279.7, 81)
    yield _of("paid sd", PAID.std(), 2266.8, 60)
    paid_ratio = (PAID / FEE / MONTHS_ACTIVE).filter(MONTHS_ACTIVE > 0)
    yield _of("paid over months x fee, mean", paid_ratio.mean(), 1, 0.002)
    yield _of("paid over months x fee, sd", paid_ratio.std(), 0.051, 0.004)
    yield _of("watch hours mean", WATCH.mean(), 29.7, 0.25)
    yield _of("watch hours sd", WATCH.std(), 6.75, 0.18)
    yield _of("later watch hours mean", WATCH_LATER.mean(), 29.07, 0.25)
    yield _of("later watch hours sd", WATCH_LATER.std(), 6.68, 0.18)
    yield _of("watch hours ratio mean", (WATCH_LATER / WATCH).mean(), 0.98, 0.0012)
    yield _of("watch hours ratio sd", (WATCH_LATER / WATCH).std(), 0.03, 0.0008)
    yield _of("session mean", pl.col("avg_session_mins_7d").mean(), 30.01, 0.22)
    yield _of("session sd", pl.col("avg_session_mins_7d").std(), 6.05, 0.16)
    yield _of("skips mean", pl.col("skips_7d").mean(), 5.05, 0.08)
    yield _of("skips variance", pl.col("skips_7d").var(), 4.94, 0.26)
    yield _of("resolution mean", pl.col("ticket_avg_resolution_hrs_90d").mean(), 10.03, 0.14)
    yield _of("resolution sd", pl.col("ticket_avg_resolution_hrs_90d").std(), 3.92, 0.1)


def _troubles() -> Iterator[Quantity]:
    for net, mean in zip(NETS, (3.0, 1.99, 1.97), strict=True):
        yield _of(f"rebuffers of {net}", REBUFFERS.filter(NET.eq(net)).mean(), mean, 0.11)
    yield _of("rebuffers risen", (REBUFFERS_LATER > REBUFFERS).mean(), 0.26, 0.016)
    yield _of("later rebuffers mean", (REBUFFERS_LATER - REBUFFERS).mean(), 0.30, 0.02)
    for column, first, later in (
        ("failed_payments_90d", (0.847, 0.145, 0.008), (0.824, 0.163, 0.012)),
        ("support_tickets_90d", (0.739, 0.223, 0.035), (0.702, 0.247, 0.046)),
    ):
        for count, (share, later_share) in enumerate(zip(first, later, strict=True)):
            tolerance = (0.016, 0.016, 0.007)[count]
            yield _of(f"{count} {column}", (pl.col(column) == count).mean(), share, tolerance)
            yield _of(f"{count} later {column}", (pl.col(f"{column}_later") == count).mean(), later_share, tolerance)
    for column, chance in (("failed_payments_90d", 0.03), ("support_tickets_90d", 0.05)):
        yield _of(f"{column} risen", (pl.col(f"{column}_later") - pl.col(column)).mean(), chance, 0.008)
    yield _of("rebuffer drift", (REBUFFERS_LATER.mean() - REBUFFERS.mean()) / REBUFFERS.std(), 0.187, 0.014)
    yield _of("watch drift", (WATCH.mean() - WATCH_LATER.mean()) / WATCH.std(), 0.0887, 0.006)


def _by_net() -> Iterator[Quantity]:
    rows = (
        ("DSL", 0.549, 0.107, 0.333, 58.1, (23.45, 94.8), (0.505, 0.235, 0.259), (0.322, 0.093, 0.019)),
        ("Fiber optic", 0.774, 0.268, 0.214, 91.5, (67.75, 118.75), (0.687, 0.174, 0.139), (0.546, 0.193, 0.072)),
        ("No", 0.292, 0.034, 0.421, 21.1, (18.25, 26.9), (0.343, 0.239, 0.418), (0.189, 0.025, 0.008)),
    )
    for net, paperless, senior, dependents, fee, (fee_min, fee_max), contracts, churn in rows:
        group = NET.eq(net)
        yield _of(f"paperless of {net}", PAPERLESS.filter(group).mean(), paperless, 0.035)
        yield _of(f"senior of {net}", SENIOR.filter(group).mean(), senior, 0.025)
        yield _of(f"dependents of {net}", DEPENDENTS.filter(group).mean(), dependents, 0.035)
        yield _of(f"fee of {net}", FEE.filter(group).mean(), fee, 0.8)
        # Prices pile up well inside the range, so few users reach its ends.
        yield _of(f"fee min of {net}", FEE.filter(group).min(), fee_min, 1)
        yield _of(f"fee max of {net}", FEE.filter(group).max(), fee_max, 3)
        for contract, share, rate in zip(CONTRACTS, contracts, churn, strict=True):
            yield _of(f"{contract} of {net}", CONTRACT.eq(contract).filter(group).mean(), share, 0.036)
            # The logit has no interaction of net service and contract, and is off by up to .02 for it.
            churned = CHURN.filter(group & CONTRACT.eq(contract)).mean()
            yield _of(f"churn of {net}, {contract}", churned, rate, 0.045)


def _by_months_active() -> Iterator[Quantity]:
    quantiles = (
        ("Month-to-month", (1, 3, 12, 29, 46)),
        ("One year", (14, 27, 44, 58, 67)),
        ("Two year", (26, 48, 64, 71, 72)),
    )
    for contract, values in quantiles:
        for level, value in zip((0.1, 0.25, 0.5, 0.75, 0.9), values, strict=True):
            quantile = MONTHS_ACTIVE.filter(CONTRACT.eq(contract)).quantile(level)
            yield _of(f"months active of {contract}, quantile {level}", quantile, value, 2.5)
    families = ((0, 6, 0.22), (7, 12, 0.34), (13, 24, 0.42), (25, 48, 0.51), (49, 71, 0.68), (72, 72, 0.86))
    for low, high, share in families:
        family = FAMILY.filter(MONTHS_ACTIVE.is_between(low, high)).mean()
        yield _of(f"family at {low} to {high} months", family, share, 0.06)
    for net, shares in (("DSL", (0.20, 0.32, 0.41, 0.60)), ("Fiber optic", (0.37, 0.50, 0.60, 0.75))):
        for (low, high), share in zip(((0, 12), (13, 24), (25, 48), (49, 72)), shares, strict=True):
            tv = TV.filter(NET.eq(net) & MONTHS_ACTIVE.is_between(low, high)).mean()
            yield _of(f"tv of {net} at {low} to {high} months", tv, share, 0.075)


def _by_other_attributes() -> Iterator[Quantity]:
    for has_family, share in ((False, 0.10), (True, 0.51)):
        yield _of(f"dependents, family {has_family}", DEPENDENTS.filter(FAMILY.eq(has_family)).mean(), share, 0.025)
    for net, shares in (("DSL", (0.24, 0.66)), ("Fiber optic", (0.33, 0.75))):
        for has_tv, share in zip((False, True), shares, strict=True):
            movies = MOVIES.filter(NET.eq(net) & TV.eq(has_tv)).mean()
            yield _of(f"movies of {net}, tv {has_tv}", movies, share, 0.045)


def _correlations() -> Iterator[Quantity]:
    # A correlation's standard error at 7,043 users is at most .012; beyond three, what the price list leaves out of
    # the dependence on the contract shows: two-year contracts come with more extras than the months active explain.
    for one, other, reference, tolerance in (
        (FEE, WATCH, 0.678, 0.02),
        (FEE, MONTHS_ACTIVE, 0.248, 0.036),
        (FEE, PAID, 0.651, 0.022),
        (MONTHS_ACTIVE, PAID, 0.826, 0.012),
        (TV, MOVIES, 0.533, 0.03),
        (TV, FEE, 0.630, 0.03),
        (TV, MONTHS_ACTIVE, 0.280, 0.036),
        (FAMILY, DEPENDENTS, 0.453, 0.03),
        (FAMILY, MONTHS_ACTIVE, 0.380, 0.036),
        (SENIOR, DEPENDENTS, -0.211, 0.036),
        (PAPERLESS, FEE, 0.352, 0.036),
        (CHURN, MONTHS_ACTIVE, -0.352, 0.036),
        (CHURN, FEE, 0.193, 0.045),
    ):
        correlation = pl.corr(*(column.cast(pl.Float64).fill_null(0) for column in (one, other)))
        yield _of(f"correlation {one.meta.output_name()} {other.meta.output_name()}", correlation, reference, tolerance)


def _labels() -> Iterator[Quantity]:
    yield _of("churn", CHURN.mean(), 0.2654, 0.016)
    yield _of("later churn", CHURN_LATER.mean(), 0.2415, 0.016)
    yield _of("later churn of the churned", CHURN_LATER.filter(CHURN).mean(), 0.24, 0.03)
    yield _of("later churn of the others", CHURN_LATER.filter(~CHURN).mean(), 0.24, 0.018)
    for failed in (False, True):
        for tickets in (False, True):
            for little in (False, True):
                group = (
                    ((pl.col("failed_payments_90d_later") > 0) == failed)
                    & ((pl.col("support_tickets_90d_later") > 0) == tickets)
                    & ((WATCH_LATER < 29.2) == little)
                )
                rate = 0.10 + 0.15 * failed + 0.15 * tickets + 0.14 * little
                # The rarest group is of 190 observed users; the others have a standard error of .023 at most.
                tolerance = 0.11 if failed and tickets else 0.065
                name = f"later churn, failed payment {failed}, ticket {tickets}, little watched {little}"
                yield _of(name, CHURN_LATER.filter(group).mean(), rate, tolerance)


QUANTITIES = [
    *_shares(),
    *_levels(),
    *_troubles(),
    *_by_net(),
    *_by_months_active(),
    *_by_other_attributes(),
    *_correlations(),
    *_labels(),
]


def _sample(out: Path, *, users: int, seed: int) -> pl.DataFrame:
    first, later = (
        pl.concat(
            [pl.read_csv(month / f"{table.name}.csv", infer_schema_length=None) for table in TABLES],
            how="align",
        )
        for month in generate_months(out, users=users, seed=seed)
    )
    return first.join(later, on="user_id", suffix="_later")


def _measures(sample: pl.DataFrame) -> dict[str, float]:
    return sample.select(quantity.measure.alias(quantity.name) for quantity in QUANTITIES).row(0, named=True)


@pytest.fixture(scope="module")
def large_sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return _measures(_sample(tmp_path_factory.mktemp("large"), users=LARGE_SAMPLE_USERS, seed=1))


@pytest.fixture(scope="module")
def default_sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return _measures(_sample(tmp_path_factory.mktemp("default"), users=OBSERVED_USERS, seed=0))


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.name)
def test_many_users_are_distributed_as_observed(large_sample: dict[str, float], quantity: Quantity) -> None:
    assert large_sample[quantity.name] == pytest.approx(quantity.reference, abs=quantity.tolerance)


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.name)
def test_the_default_data_set_is_distributed_as_observed(default_sample: dict[str, float], quantity: Quantity) -> None:
    tolerance = quantity.tolerance * SMALL_SAMPLE_FACTOR
    assert default_sample[quantity.name] == pytest.approx(quantity.reference, abs=tolerance)


def test_later_months_drift_on_as_the_second_did(tmp_path: Path) -> None:
    months = generate_months(tmp_path, users=20_000, months=6)
    usage = [pl.read_csv(month / "usage_agg_30d.csv") for month in months]
    # Standard errors of a mean over 20,000 users: .0003 of the ratio of five months, .009 of the rebuffers.
    ratio = (usage[5]["watch_hours_30d"] / usage[0]["watch_hours_30d"]).mean()
    assert ratio == pytest.approx(0.98**5, abs=0.0016)
    risen = (usage[5]["rebuffer_events_7d"] - usage[0]["rebuffer_events_7d"]).mean()
    assert risen == pytest.approx(5 * 0.3, abs=0.03)
