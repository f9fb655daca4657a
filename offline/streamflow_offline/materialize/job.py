"""The materialize job: read PostgreSQL once, write what was asked for, then prove that Redis agrees."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import redis
from streamflow_repo import JOIN_KEY
from streamflow_repo.settings.redis_url import open_redis

from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import exclusive, open_store
from streamflow_offline.materialize.freshness import compare, differs_online, read_online, remove_departed
from streamflow_offline.materialize.marks import write_mark
from streamflow_offline.materialize.newest import count_selected, take_newest
from streamflow_offline.materialize.plan import Mode, Plan, Window, plan_view
from streamflow_offline.materialize.report import FreshnessError, ViewReport
from streamflow_offline.materialize.writing import write_rows
from streamflow_offline.user_keys import UserKeys

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

_REDIS_TIMEOUT_S = 30.0


@dataclass(kw_only=True)
class _Written:
    """What was written of a view."""

    rows: int
    duration_s: float
    departed: int = 0


def materialize(
    *,
    postgres_url: str,
    redis_url: str,
    start: datetime | None = None,
    end: datetime | None = None,
    incremental: bool = False,
    views: Sequence[str] = (),
    on_progress: Callable[[str], None],
) -> list[ViewReport]:
    """Write users' newest rows into Redis and return a report of each view, by name; all views unless some are named.

    In full, each user's newest row up to now is written over whatever Redis has, so that a correction of any month
    arrives. `incremental` writes the newest rows that were ingested since the last run, however old their event
    timestamps, and those that Redis has with another event timestamp or not at all. A window, from `start` to `end`
    or now, both included, writes the newest rows that are dated in it, never an older one over a newer. All views are
    read from one state of PostgreSQL; users whom it does not have are removed from Redis. Serving goes on meanwhile.
    A run that was interrupted is repeated by the same call.

    Waits while another apply or materialization runs. Raises FreshnessError when Redis and PostgreSQL then differ in
    users or event timestamps; JobError for options that can't be, for an `end` without a `start` that would leave out
    rows that PostgreSQL has, when nothing is applied, or when a store fails.
    """
    window = Window.of(start=start, end=end, incremental=incremental, now=datetime.now(UTC))
    with (
        _explained(),
        exclusive(
            postgres_url, on_wait=lambda: on_progress("waiting for another apply or materialization")
        ) as connection,
        open_store(postgres_url=postgres_url, redis_url=redis_url) as store,
        open_redis(redis_url, timeout_s=_REDIS_TIMEOUT_S) as client,
    ):
        run = _Run(store=store, client=client, connection=connection, on_progress=on_progress)
        return run.materialize(_chosen(store, views), window)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A run that has the lock.

    PostgreSQL is read through the connection that holds it: a run that loses the lock loses its rows as well.
    """

    store: "FeatureStore"
    client: redis.Redis
    connection: psycopg.Connection
    on_progress: Callable[[str], None]

    def materialize(self, views: Sequence["FeatureView"], window: Window) -> list[ViewReport]:
        now = datetime.now(UTC)
        self.on_progress(f"taking each user's newest row of {len(views)} views from PostgreSQL")
        plans = [
            plan_view(self.store, self.client, self.connection, rows, window=window, now=now)
            for rows in take_newest(self.connection, views, until=now)
        ]
        written = [self._write(plan) for plan in plans]
        self._read_back(plans, written)
        if window.mode is Mode.INCREMENTAL and self._write_what_differs(plans, written):
            self._read_back(plans, written)
        reports = [self._report(plan, done) for plan, done in zip(plans, written, strict=True)]
        if not all(report.fresh for report in reports):
            raise FreshnessError(reports)
        return reports

    def _write(self, plan: Plan) -> _Written:
        name = plan.rows.name
        if plan.why:
            self.on_progress(f"{name} is written in full: {plan.why}")
        self.on_progress(f"{name}: {plan.total:,} of {plan.rows.users:,} users to write")
        duration_s = write_rows(
            self.store, self.connection, plan.rows, plan.condition, total=plan.total, on_progress=self.on_progress
        )
        project = str(self.store.project)
        if plan.mark:
            write_mark(self.client, plan.mark, project=project, view=name)
        try:
            self.store.registry.apply_materialization(plan.rows.view, project, plan.start, plan.end)
        except Exception as error:
            raise JobError(
                f"{name} is in Redis, but Feast's registry could not note it: {type(error).__name__}: {error}; "
                "run `offline materialize` again"
            ) from error
        return _Written(rows=plan.total, duration_s=duration_s)

    def _read_back(self, plans: Sequence[Plan], written: Sequence[_Written]) -> None:
        self.on_progress("comparing what Redis holds with PostgreSQL")
        keys = UserKeys(project=str(self.store.project), join_key=JOIN_KEY)
        read_online(self.client, self.connection, keys, [plan.rows for plan in plans])
        for plan, done in zip(plans, written, strict=True):
            done.departed += remove_departed(self.client, self.connection, keys, plan.rows)

    def _write_what_differs(self, plans: Sequence[Plan], written: Sequence[_Written]) -> bool:
        """Write the rows that Redis has with another event timestamp or not at all; return whether there were any."""
        found = False
        for plan, done in zip(plans, written, strict=True):
            condition = differs_online(plan.rows)
            total, _ = count_selected(self.connection, plan.rows, condition)
            if total:
                self.on_progress(f"{plan.rows.name}: {total:,} users differ in Redis")
                done.duration_s += write_rows(
                    self.store, self.connection, plan.rows, condition, total=total, on_progress=self.on_progress
                )
                done.rows += total
                found = True
        return found

    def _report(self, plan: Plan, written: _Written) -> ViewReport:
        return ViewReport(
            view=plan.rows.name,
            mode=plan.mode,
            start=plan.start,
            end=plan.end,
            written=written.rows,
            duration_s=round(written.duration_s, 3),
            departed=written.departed,
            later_rows=plan.rows.later_rows,
            users=plan.rows.users,
            newest=plan.rows.newest,
            **asdict(compare(self.connection, plan.rows)),
        )


def _chosen(store: "FeatureStore", names: Sequence[str]) -> list["FeatureView"]:
    views = {str(view.name): view for view in store.list_feature_views() if view.online and view.enabled}
    if not views:
        raise JobError("nothing is applied in this database; run `offline apply` first")
    unknown = sorted(set(names) - set(views))
    if unknown:
        raise JobError(f"there is no feature view {', '.join(unknown)}; there are {', '.join(sorted(views))}")
    return [views[name] for name in sorted(set(names) or views)]


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what a store fails with into JobError."""
    again = "what is written stays, and a repeated run writes the rest"
    try:
        yield
    except redis.RedisError as error:
        raise JobError(f"Redis failed: {error}; check REDIS_URL and that it has memory; {again}") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise JobError(
            f"the PostgreSQL user lacks a right: {error.diag.message_primary}; it needs SELECT on the views' tables, "
            "TEMPORARY on the database and all of Feast's registry"
        ) from error
    except psycopg.Error as error:
        said = " ".join((error.diag.message_primary or str(error)).split())
        raise JobError(f"PostgreSQL failed: {said}; check POSTGRES_URL and that it has room; {again}") from error
