"""The materialize job: read both stores, refuse what would lose much, write, then prove that they agree."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import redis
from psycopg import sql
from streamflow_repo import JOIN_KEY
from streamflow_repo.settings.redis_url import open_redis

from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import exclusive, open_store
from streamflow_offline.materialize.database import Database, mark_database, refuse_another
from streamflow_offline.materialize.freshness import (
    compare,
    count_online,
    newer_online,
    read_online,
    remove_departed,
)
from streamflow_offline.materialize.losses import (
    DEFAULT_ALLOWED_SHARE,
    Losses,
    check_allowed_share,
    refuse_empty,
    refuse_losses,
)
from streamflow_offline.materialize.marks import write_mark
from streamflow_offline.materialize.newest import NewestRows, take_newest
from streamflow_offline.materialize.plan import Mode, Plan, Window, plan_view
from streamflow_offline.materialize.report import FreshnessError, ViewReport
from streamflow_offline.materialize.writing import write_rows
from streamflow_offline.steps import step
from streamflow_offline.user_keys import UserKeys

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

_REDIS_TIMEOUT_S = 30.0


def materialize(
    *,
    postgres_url: str,
    redis_url: str,
    start: datetime | None = None,
    end: datetime | None = None,
    as_of: datetime | None = None,
    incremental: bool = False,
    views: Sequence[str] = (),
    allow_departed: float = DEFAULT_ALLOWED_SHARE,
    take_over: bool = False,
    on_progress: Callable[[str], None],
) -> list[ViewReport]:
    """Write users' newest rows to Redis and return a report of each view, by name; all views unless some are named.

    - In full, the default, all users' newest rows up to now are written, so that a correction of any month arrives.
    - `incremental` writes the newest rows that were ingested since the last run, however old their event timestamps,
      and those that Redis has with another event timestamp or not at all.
    - A window, from `start` to `end` or now, both included, writes the newest rows that are dated in it.
    - `as_of` writes the rows that were the newest at this moment, over newer rows in Redis.

    All views are read from one state of PostgreSQL. Users without a row there are removed from Redis. Users whose
    newest row PostgreSQL no longer has go back to the newest row that PostgreSQL has. Serving goes on meanwhile. The
    same call again completes a run that was interrupted.

    Nothing is written or deleted if PostgreSQL has no rows of a view, if more than the share `allow_departed` of a
    view's users would be removed or go back, or if another database filled this Redis, unless `take_over`.

    Waits while another apply or materialization runs. Raises FreshnessError if Redis and PostgreSQL then differ in
    users or event timestamps; JobError for a refusal, for options that contradict each other, for an `end` without a
    `start` that would leave out rows that PostgreSQL has, if nothing is applied, or if a store fails.
    """
    window = Window.of(start=start, end=end, as_of=as_of, incremental=incremental, now=datetime.now(UTC))
    check_allowed_share(allow_departed)
    with (
        _explained(),
        exclusive(
            postgres_url, on_wait=lambda: on_progress("waiting for another apply or materialization")
        ) as connection,
        open_store(postgres_url=postgres_url, redis_url=redis_url) as store,
        open_redis(redis_url, timeout_s=_REDIS_TIMEOUT_S) as client,
    ):
        chosen = _chosen(store, views)
        database = Database.of(store, connection)
        if not take_over:
            refuse_another(client, database, project=str(store.project))
        run = _Run(store=store, client=client, connection=connection, on_progress=on_progress)
        with step("plan", feature_views=len(chosen)):
            plans = run.plan(chosen, window, allow_departed=allow_departed)
        mark_database(client, database, project=str(store.project))
        return run.carry_out(plans)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A run that has the lock.

    PostgreSQL is read through the connection that holds the lock: a run that loses the lock gets no more rows.
    """

    store: "FeatureStore"
    client: redis.Redis
    connection: psycopg.Connection
    on_progress: Callable[[str], None]

    def plan(self, views: Sequence["FeatureView"], window: Window, *, allow_departed: float) -> list[Plan]:
        """Return a plan for each view. Raises JobError for a run that would lose much; changes nothing."""
        now = datetime.now(UTC)
        self.on_progress(f"taking each user's newest row of {len(views)} views from PostgreSQL")
        newest = take_newest(self.connection, views, until=window.until(now))
        refuse_empty(newest, until=window.until(now))
        self._read_online(newest)
        plans = [plan_view(self.store, self.client, self.connection, rows, window=window, now=now) for rows in newest]
        refuse_losses([self._losses(plan) for plan in plans], allowed=allow_departed)
        return plans

    def carry_out(self, plans: Sequence[Plan]) -> list[ViewReport]:
        """Write and delete as planned, and return a report of each view. Raises FreshnessError."""
        done = [(plan, *self._carry_out(plan)) for plan in plans]
        self.on_progress("comparing what Redis holds with PostgreSQL")
        with step("compare"):
            self._read_online([plan.rows for plan in plans])
            reports = [
                self._report(plan, duration_s=duration_s, departed=departed) for plan, duration_s, departed in done
            ]
        if not all(report.fresh for report in reports):
            raise FreshnessError(reports)
        return reports

    def _carry_out(self, plan: Plan) -> tuple[float, int]:
        """Write a view, and remove who departed; return how long writing took, in s, and how many departed."""
        with step("write", feature_view=plan.rows.name, rows=plan.total):
            return self._write(plan), self._remove_departed(plan)

    @property
    def _keys(self) -> UserKeys:
        return UserKeys(project=str(self.store.project), join_key=JOIN_KEY)

    def _read_online(self, rows: Sequence[NewestRows]) -> None:
        read_online(self.client, self.connection, self._keys, rows)

    def _losses(self, plan: Plan) -> Losses:
        online, departed = count_online(self.connection, plan.rows)
        # Whoever asks for a time in the past asks for all users to go back.
        going_back = 0 if plan.mode is Mode.AS_OF else plan.going_back
        return Losses(view=plan.rows.name, online=online, departed=departed, going_back=going_back)

    def _write(self, plan: Plan) -> float:
        """Write a view's rows, then its mark, and tell Feast's registry; return how long writing took, in s."""
        name, project = plan.rows.name, str(self.store.project)
        if plan.why:
            self.on_progress(f"{name} is written in full: {plan.why}")
        self.on_progress(f"{name}: {plan.total:,} of {plan.rows.users:,} users to write")
        duration_s = self._write_rows(plan)
        if plan.mark:
            write_mark(self.client, plan.mark, project=project, view=name)
        try:
            self.store.registry.apply_materialization(plan.rows.view, project, plan.start, plan.end)
        except Exception as error:
            raise JobError(
                f"{name} is in Redis, but Feast's registry could not note it: {type(error).__name__}: {error}; "
                "run `offline materialize` again"
            ) from error
        return duration_s

    def _write_rows(self, plan: Plan) -> float:
        parts = [(plan.condition, plan.total, False)]
        if plan.going_back:
            self.on_progress(f"{plan.rows.name}: {plan.going_back:,} users go back to an older row")
            newer = newer_online(plan.rows)
            parts = [
                (sql.SQL("{} AND NOT {}").format(plan.condition, newer), plan.total - plan.going_back, False),
                (sql.SQL("{} AND {}").format(plan.condition, newer), plan.going_back, True),
            ]
        return sum(
            write_rows(
                self.store,
                self.connection,
                plan.rows,
                condition,
                total=total,
                over_newer=over_newer,
                on_progress=self.on_progress,
            )
            for condition, total, over_newer in parts
        )

    def _remove_departed(self, plan: Plan) -> int:
        return remove_departed(self.client, self.connection, self._keys, plan.rows)

    def _report(self, plan: Plan, *, duration_s: float, departed: int) -> ViewReport:
        return ViewReport(
            view=plan.rows.name,
            mode=plan.mode,
            start=plan.start,
            end=plan.end,
            written=plan.total,
            duration_s=round(duration_s, 3),
            departed=departed,
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
    """Raise a store's failure as a JobError that says what to do."""
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
