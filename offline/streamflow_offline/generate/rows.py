"""The CSV rows of a block of users, table by table, written as StreamFlow's own files are."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import polars as pl

from streamflow_offline.generate.behaviour import Behaviour
from streamflow_offline.generate.observed import CONTRACTS, NET_SERVICES
from streamflow_offline.generate.profiles import Profiles
from streamflow_offline.generate.randomness import Bools, Ints
from streamflow_offline.tables import LABELS, PAYMENTS, SUBSCRIPTIONS, SUPPORT, USAGE, USERS, Table

_FIRST_SIGNUP = np.datetime64("2022-01-01")
_SIGNUP_MONTHS = 36
"""Observed for every user: so many months less those active, but counted as days, after the first signup."""

_BOOL_TEXTS = ("False", "True", None)
_NULL = 2


def header(table: Table) -> str:
    """Return the first line of a table's file."""
    return ",".join(["user_id", *(column.name for column in table.csv_columns)]) + "\n"


def profile_rows(user_ids: Sequence[str], profiles: Profiles) -> dict[Table, str]:
    """Return the rows, for each of `user_ids`, of the tables that are the same in every month."""
    signup_date = _FIRST_SIGNUP + np.maximum(_SIGNUP_MONTHS - profiles.months_active, 0).astype("timedelta64[D]")
    columns = {
        "signup_date": pl.Series(signup_date),
        "user_gender": _texts(("Female", "Male"), profiles.is_male),
        "user_is_senior": _texts(_BOOL_TEXTS, profiles.is_senior),
        "has_family": _texts(_BOOL_TEXTS, profiles.has_family),
        "has_dependents": _texts(_BOOL_TEXTS, profiles.has_dependents),
        "months_active": pl.Series(profiles.months_active),
        "plan_stream_tv": _texts(_BOOL_TEXTS, np.where(profiles.has_net, profiles.tv, _NULL)),
        "plan_stream_movies": _texts(_BOOL_TEXTS, np.where(profiles.has_net, profiles.movies, _NULL)),
        "contract_type": _texts(CONTRACTS, profiles.contract),
        "paperless_billing": _texts(_BOOL_TEXTS, profiles.paperless),
        "monthly_fee": pl.Series(profiles.monthly_fee),
        "total_paid": pl.Series(profiles.paid_cents / 100),
        "net_service": _texts(NET_SERVICES, profiles.net),
    }
    return _rows(user_ids, columns, (USERS, SUBSCRIPTIONS))


def month_rows(user_ids: Sequence[str], behaviour: Behaviour, churned: Bools) -> dict[Table, str]:
    """Return the rows, for each of `user_ids`, of the tables that change from month to month."""
    columns = {name: pl.Series(values) for name, values in asdict(behaviour).items()}
    columns["churn_label"] = _texts(_BOOL_TEXTS, churned)
    return _rows(user_ids, columns, (USAGE, PAYMENTS, SUPPORT, LABELS))


def _texts(texts: Sequence[str | None], indexes: Ints | Bools) -> pl.Series:
    return pl.Series(texts, dtype=pl.String).gather(indexes.astype(np.uint32))


def _rows(user_ids: Sequence[str], columns: dict[str, pl.Series], tables: Sequence[Table]) -> dict[Table, str]:
    # A block is drawn whole, so the last one has more values than users.
    cut = {name: values.head(len(user_ids)) for name, values in columns.items()}
    frame = pl.DataFrame({"user_id": pl.Series(user_ids), **cut})
    return {
        table: frame.select("user_id", *(column.name for column in table.csv_columns)).write_csv(
            include_header=False, quote_style="never"
        )
        for table in tables
    }
