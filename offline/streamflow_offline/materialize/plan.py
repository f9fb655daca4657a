"""What a run is asked for, and which rows of each view the run then writes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import psycopg
import redis
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.materialize.freshness import differs_online, newer_online
from streamflow_offline.materialize.marks import Mark, origin, read_mark
from streamflow_offline.materialize.newest import NewestRows, count_selected

if TYPE_CHECKING:
    from feast import FeatureStore

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Mode(StrEnum):
    """Which of the users' newest rows a run writes."""

    FULL = "full"
    """All rows."""

    INCREMENTAL = "incremental"
    """Rows ingested since the last run, and rows that Redis has with another event timestamp or not at all."""

    WINDOW = "window"
    """Rows dated in a window."""

    AS_OF = "as_of"
    """The rows that were the newest at a moment in the past, over newer rows in Redis."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a run was asked for."""

    mode: Mode

    start: datetime | None
    """The first moment of the window; None in the other modes."""

    end: datetime | None
    """The last moment, included; None means the moment at which the run reads PostgreSQL."""

    @classmethod
    def of(
        cls, *, start: datetime | None, end: datetime | None, as_of: datetime | None, incremental: bool, now: datetime
    ) -> "Window":
        """Return the window of some options. Raises JobError for options that contradict each other."""
        for name, moment in (("start", start), ("end", end), ("as-of time", as_of)):
            if moment is not None and moment.tzinfo is None:
                raise JobError(f"the {name} {moment.isoformat()} has no time zone; give it one, such as UTC")
        if incremental and (start or end):
            raise JobError(
                "an incremental run finds its window by itself; leave --incremental out, or --start and --end"
            )
        if as_of is not None:
            if incremental or start or end:
                raise JobError("--as-of stands alone; leave --incremental, --start and --end out")
            if as_of > now:
                raise JobError(f"the as-of time {as_of.isoformat()} is in the future; give a time in the past")
            return cls(mode=Mode.AS_OF, start=None, end=as_of)
        if end is not None and end > now:
            raise JobError(
                f"the end {end.isoformat()} is in the future, and rows dated after now are not to be served; "
                "leave --end out to cover everything up to now"
            )
        if start is not None and start > (end or now):
            raise JobError(
                f"the window ends before its start {start.isoformat()}; give a --start before --end and before now"
            )
        mode = Mode.INCREMENTAL if incremental else Mode.FULL if start is None else Mode.WINDOW
        return cls(mode=mode, start=start, end=end)

    def until(self, now: datetime) -> datetime:
        """Return the moment up to which rows of PostgreSQL count at all."""
        return self.end if self.mode is Mode.AS_OF and self.end else now


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run's plan for a view."""

    rows: NewestRows
    mode: Mode

    why: str | None
    """Why the mode is not the one that was asked for; None if it is."""

    condition: sql.Composable
    """Which rows are written, as an SQL condition."""

    total: int
    """How many rows are written."""

    going_back: int
    """How many of these are older than the user's row in Redis, and are written over it."""

    start: datetime
    end: datetime
    """The interval of event timestamps that Feast's registry gets as materialized."""

    mark: Mark | None
    """The mark that Redis gets; None leaves the mark as it is."""


def plan_view(
    store: "FeatureStore",
    client: redis.Redis,
    connection: psycopg.Connection,
    rows: NewestRows,
    *,
    window: Window,
    now: datetime,
) -> Plan:
    """Return the plan for a view's newest rows, compared with what `read_online` found.

    Raises JobError if the run would leave out rows that PostgreSQL has, or if the source can't say what is new.
    """
    mark = None
    if rows.ingested_until:
        mark = Mark(ingested_until=rows.ingested_until, origin=origin(store, rows))
    mode, why = window.mode, None
    condition: sql.Composable = sql.SQL("TRUE")
    start, end = _BEGINNING, window.end or now
    if mode is Mode.FULL:
        _refuse_to_leave_out(connection, rows, end)
    elif mode is Mode.AS_OF:
        # Redis still has what the mark says, or an older row, which the next run finds by its event timestamp.
        mark = None
    elif mode is Mode.WINDOW:
        start, mark = window.start or _BEGINNING, None
        condition = sql.SQL("{} BETWEEN {} AND {}").format(rows.event, _utc(start), _utc(end))
    elif rows.created is None:
        raise JobError(
            f"{rows.name}'s source has no created_timestamp_column, by which corrected rows are found; "
            "give it one, or leave --incremental out"
        )
    else:
        known = read_mark(client, project=str(store.project), view=rows.name)
        why = _why_full(known, mark)
        if known is None or why:
            mode = Mode.FULL
        else:
            ingested_since = sql.SQL("{} > {}").format(rows.created, sql.Literal(known.ingested_until))
            condition = sql.SQL("({} OR {})").format(ingested_since, differs_online(rows))
            start = rows.view.most_recent_end_time or _BEGINNING
    total, oldest = count_selected(connection, rows, condition)
    going_back, _ = count_selected(connection, rows, sql.SQL("{} AND {}").format(condition, newer_online(rows)))
    return Plan(
        rows=rows,
        mode=mode,
        why=why,
        condition=condition,
        total=total,
        going_back=going_back,
        start=min(start, oldest or start, end),
        end=end,
        mark=mark,
    )


def _why_full(known: Mark | None, now: Mark | None) -> str | None:
    """Return why a mark does not say what is new; None if it does."""
    if known is None:
        return "Redis has no mark of an earlier run"
    if now is not None and known.origin != now.origin:
        return "its definition or its database is another than at the last run"
    if now is None or now.ingested_until < known.ingested_until:
        return "PostgreSQL no longer has the newest rows of the last run"
    return None


def _refuse_to_leave_out(connection: psycopg.Connection, rows: NewestRows, end: datetime) -> None:
    left_out, _ = count_selected(connection, rows, sql.SQL("{} > {}").format(rows.event, _utc(end)))
    if left_out:
        raise JobError(
            f"{rows.name} has {left_out:,} users with rows after {end.isoformat()}, which would be left out of Redis; "
            "leave --end out to cover everything up to now, or give --start too"
        )


def _utc(moment: datetime) -> sql.Literal:
    """Return a moment as a TIMESTAMP in UTC, as event timestamps are."""
    return sql.Literal(moment.astimezone(UTC).replace(tzinfo=None))
