"""StreamFlow's tables: the columns of a month's CSV files, and what becomes of them in PostgreSQL."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum


class ColumnType(Enum):
    """A column's type, by its name in PostgreSQL."""

    TEXT = "TEXT"
    DATE = "DATE"
    BOOL = "BOOL"
    INT = "INT"
    NUMERIC = "NUMERIC"
    DOUBLE = "DOUBLE PRECISION"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    name: str
    type: ColumnType

    nullable: bool = True
    """Whether an empty field, SQL's NULL, may stand for "not known"."""

    in_csv: bool = True
    """Whether the CSV file has the column; one that it has not is NULL in PostgreSQL."""

    in_snapshot: bool = False
    """Whether the table's snapshots keep the column."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One of a month's CSV files and the tables that it is loaded into."""

    name: str
    """The live table, of one row a user. The CSV file is `NAME.csv`."""

    columns: tuple[Column, ...]
    """All but the user id, which is the first of every file and table."""

    snapshot_name: str | None = None
    """The snapshot table, of one row a user and month; None for a table without history."""

    @property
    def csv_columns(self) -> tuple[Column, ...]:
        """The CSV file's columns, in order, the user id left out."""
        return tuple(column for column in self.columns if column.in_csv)

    @property
    def snapshot_columns(self) -> tuple[Column, ...]:
        """The snapshot table's columns besides the user id, the day and the time of ingestion.

        Feast (0.67, through pyarrow's cast) reads the NUMERIC 9.6 as the double 9.600000000000001, so a snapshot holds
        the Float64 that is to be served.
        """
        return tuple(
            replace(column, type=ColumnType.DOUBLE) if column.type is ColumnType.NUMERIC else column
            for column in self.columns
            if column.in_snapshot
        )


def _columns(column_type: ColumnType, *names: str, snapshot: bool = True, csv: bool = True) -> Iterator[Column]:
    for name in names:
        yield Column(name=name, type=column_type, in_snapshot=snapshot, in_csv=csv)


USERS = Table(
    name="users",
    columns=(
        *_columns(ColumnType.DATE, "signup_date", snapshot=False),
        *_columns(ColumnType.TEXT, "user_gender", snapshot=False),
        *_columns(ColumnType.BOOL, "user_is_senior", "has_family", "has_dependents", snapshot=False),
    ),
)

SUBSCRIPTIONS = Table(
    name="subscriptions",
    snapshot_name="subscriptions_profile_snapshots",
    columns=(
        *_columns(ColumnType.INT, "months_active"),
        *_columns(ColumnType.BOOL, "plan_stream_tv", "plan_stream_movies"),
        *_columns(ColumnType.TEXT, "contract_type", snapshot=False),
        *_columns(ColumnType.BOOL, "paperless_billing"),
        *_columns(ColumnType.NUMERIC, "monthly_fee"),
        *_columns(ColumnType.NUMERIC, "total_paid", snapshot=False),
        *_columns(ColumnType.TEXT, "net_service"),
        *_columns(
            ColumnType.BOOL,
            *("add_on_security", "add_on_backup", "add_on_device_protect", "add_on_support"),
            snapshot=False,
            csv=False,
        ),
    ),
)

USAGE = Table(
    name="usage_agg_30d",
    snapshot_name="usage_agg_30d_snapshots",
    columns=(
        *_columns(ColumnType.NUMERIC, "watch_hours_30d", "avg_session_mins_7d"),
        *_columns(ColumnType.INT, "unique_devices_30d", "skips_7d", "rebuffer_events_7d"),
    ),
)

PAYMENTS = Table(
    name="payments_agg_90d",
    snapshot_name="payments_agg_90d_snapshots",
    columns=tuple(_columns(ColumnType.INT, "failed_payments_90d")),
)

SUPPORT = Table(
    name="support_agg_90d",
    snapshot_name="support_agg_90d_snapshots",
    columns=(
        *_columns(ColumnType.INT, "support_tickets_90d"),
        *_columns(ColumnType.NUMERIC, "ticket_avg_resolution_hrs_90d"),
    ),
)

LABELS = Table(
    name="labels",
    snapshot_name="labels_snapshots",
    columns=(Column(name="churn_label", type=ColumnType.BOOL, nullable=False, in_snapshot=True),),
)

TABLES = (USERS, SUBSCRIPTIONS, USAGE, PAYMENTS, SUPPORT, LABELS)
"""In the order of loading: every other table's user ids refer to those of `users`."""
