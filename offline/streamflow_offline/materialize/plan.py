"""What a run is asked for, and which newest rows of each view the run then writes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import psycopg
import redis
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.materialize.marks import Mark, origin, read_mark
from streamflow_offline.materialize.newest import NewestRows, count_selected

if TYPE_CHECKING:
    from feast import FeatureStore

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Mode(StrEnum):
    """What a run writes of each user's newest row."""

    FULL = "full"
    """Every row."""

    INCREMENTAL = "incremental"
    """Rows ingested since the last run, and rows that Redis has with another event timestamp or not at all."""

    WINDOW = "window"
    """Rows dated in a window."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a run was asked for."""

    mode: Mode

    start: datetime | None
    """The first moment of the window; None in the other modes."""

    end: datetime | None
    """The last moment, included; None means the moment at which the run reads PostgreSQL."""

    @classmethod
    def of(cls, *, start: datetime | None, end: datetime | None, incremental: bool, now: datetime) -> "Window":
        """Return the window of some options. Raises JobError for options that contradict each other."""
        for name, moment in (("start", start), ("end", end)):
            if moment is not None and moment.tzinfo is None:
                raise JobError(f"the {name} {moment.isoformat()} has no time zone; give it one, such as UTC")
        if incremental and (start or end):
            raise JobError(
                "an incremental run finds its window by itself; leave --incremental out, or --start and --end"
            )
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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run's plan for a view."""

    rows: NewestRows
    mode: Mode

    why: str | None
    """Why it is another mode than the one asked for."""

    condition: sql.Composable
    """Which rows are written, as an SQL condition."""

    total: int
    """How many."""

    start: datetime
    end: datetime
    """The interval of event timestamps that is then materialized."""

    mark: Mark | None
    """The mark that then holds; None if it stays as it was."""


def plan_view(
    store: "FeatureStore",
    client: redis.Redis,
    connection: psycopg.Connection,
    rows: NewestRows,
    *,
    window: Window,
    now: datetime,
) -> Plan:
    """Return the plan for a view's newest rows up to `now`.

    Raises JobError when Redis would be left without rows that PostgreSQL has, or when what is new can't be told.
    """
    mark = None
    if rows.ingested_until:
        mark = Mark(ingested_until=rows.ingested_until, origin=origin(store, rows))
    mode, why = window.mode, None
    condition: sql.Composable = sql.SQL("TRUE")
    start, end = _BEGINNING, window.end or now
    if mode is Mode.FULL:
        _refuse_to_leave_out(connection, rows, end)
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
            condition = sql.SQL("{} > {}").format(rows.created, sql.Literal(known.ingested_until))
            start = rows.view.most_recent_end_time or _BEGINNING
    total, oldest = count_selected(connection, rows, condition)
    return Plan(
        rows=rows,
        mode=mode,
        why=why,
        condition=condition,
        total=total,
        start=min(start, oldest or start, end),
        end=end,
        mark=mark,
    )


def _why_full(known: Mark | None, now: Mark | None) -> str | None:
    """Return why what is new since a mark can't be told; None if it can."""
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
    """Return a moment as the TIMESTAMP that event timestamps are taken as."""
    return sql.Literal(moment.astimezone(UTC).replace(tzinfo=None))
