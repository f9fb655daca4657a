"""The audit: draw users, read them on both sides at the same instant, compare, and read again users who differ."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import redis
from sqlalchemy.exc import SQLAlchemyError
from streamflow_features import FeatureClient, FeatureServingError
from streamflow_repo import JOIN_KEY
from streamflow_repo.settings.connections import REGISTRY_SCHEMA
from streamflow_repo.settings.redis_url import open_redis

from streamflow_offline.audit.compare import ComparedCell, compared
from streamflow_offline.audit.definitions import compare_definitions
from streamflow_offline.audit.offline_side import OfflineSide, on_demand_views, request_dtypes, stored_views
from streamflow_offline.audit.online_side import OnlineSide, gateway_failure
from streamflow_offline.audit.report import AuditReport, FeatureReport
from streamflow_offline.audit.request_data import MadeUpRequestData
from streamflow_offline.audit.sample import Group, draw_sample
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import connected, open_store, undisturbed
from streamflow_offline.quoting import quoted
from streamflow_offline.steps import step

DEFAULT_USERS = 1000
_CHUNK_USERS = 10_000
_REDIS_TIMEOUT_S = 30.0
_MATERIALIZATION_TIMEOUT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """One audit."""

    feature_service: str = "churn_v1"

    gateway: str = "127.0.0.1:50051"
    """The gateway's address, or several, in FeatureClient's form."""

    users: int | None = DEFAULT_USERS
    """How many of the users with features in PostgreSQL; None for all."""

    threshold: float = 0.0
    """The share of differing users that a feature may have."""

    seed: int = 0
    """The same seed draws the same users from the same PostgreSQL."""

    timeout_s: float = 10.0
    """The deadline of each call to the gateway."""

    recheck_after_s: float = 1.0
    """How long the audit waits before it reads users who differ once more."""

    def check(self) -> None:
        """Raise JobError for a request that no audit can meet."""
        if self.users is not None and self.users < 1:
            raise JobError(f"an audit of {self.users} users compares nothing; give --users at least 1, or --all")
        if not 0 <= self.threshold <= 1:
            raise JobError(f"the threshold {self.threshold} is not a share of users; give --threshold from 0 to 1")
        if not self.timeout_s > 0:
            raise JobError(f"no call is answered within {self.timeout_s} s; give --timeout-s above 0")


def audit_skew(
    request: AuditRequest,
    *,
    postgres_url: str,
    redis_url: str,
    on_progress: Callable[[str], None] | None = None,
) -> AuditReport:
    """Compare what the gateway serves with what training reads, and return how they differ.

    Users who differ are read once more on both sides, while no `offline apply` or `offline materialize` runs: users who
    then agree count as settled. Memory grows with the users' ids only. `on_progress` gets lines of text. Raises
    JobError when there is nothing to compare, and when a store or the gateway can't be read.
    """
    started_s = time.monotonic()
    audited_at = datetime.now(UTC)
    request.check()
    with (
        _explained(),
        connected(postgres_url) as connection,
        FeatureClient(request.gateway, timeout_s=request.timeout_s) as client,
    ):
        # Feast reads a source's DATE or TIMESTAMP as UTC.
        connection.execute("SET TIME ZONE 'UTC'")
        _refuse_unapplied(connection)
        try:
            described = client.list_feature_services()
        except FeatureServingError as error:
            raise gateway_failure(request.gateway, error) from error
        with open_store(postgres_url=postgres_url, redis_url=redis_url) as store:
            definitions = compare_definitions(store, described, request.feature_service)
            reports = [FeatureReport(feature=feature) for feature in definitions.features]
            users: dict[Group, list[str]] = {}
            settled = 0
            if reports:
                computed = on_demand_views(store, definitions.features)
                needed = {name: request_dtypes(view) for name, view in computed.items()}
                made_up = MadeUpRequestData(
                    {name: dtype for dtypes in needed.values() for name, dtype in dtypes.items()}, seed=request.seed
                )
                read = {v.name: v for views in stored_views(store, definitions.features).values() for v in views}
                with step("draw sample"), open_redis(redis_url, timeout_s=_REDIS_TIMEOUT_S) as redis_client:
                    users = draw_sample(
                        *(connection, redis_client),
                        [read[name] for name in sorted(read)],
                        project=str(store.project),
                        users=request.users,
                        seed=request.seed,
                    )
                comparison = _Comparison(
                    offline=OfflineSide(
                        *(store, connection),
                        service=store.get_feature_service(request.feature_service),
                        join_key=JOIN_KEY,
                        features=definitions.features,
                        request_data=made_up,
                    ),
                    online=OnlineSide(
                        client,
                        gateway=request.gateway,
                        feature_service=request.feature_service,
                        contract_hash=definitions.gateway_hash,
                        served=definitions.served,
                        compared=[report.feature.reference for report in reports],
                        request_data=made_up.only(definitions.gateway_request),
                        computed={r.feature.reference: needed.get(r.feature.view, {}) for r in reports},
                    ),
                    reports=reports,
                    postgres_url=postgres_url,
                    recheck_after_s=request.recheck_after_s,
                    tell=on_progress or (lambda _: None),
                )
                settled = comparison.run([user_id for group in users.values() for user_id in group])
    return AuditReport(
        feature_service=request.feature_service,
        gateway=request.gateway,
        threshold=request.threshold,
        seed=request.seed,
        audited_at=audited_at,
        duration_s=time.monotonic() - started_s,
        users={str(group): len(found) for group, found in users.items()},
        settled=settled,
        contracts=definitions.contracts,
        definitions=definitions.differences,
        features=reports,
    )


_Rows = Mapping[str, Sequence[ComparedCell]]


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Both sides, and the reports that count how users differ."""

    offline: OfflineSide
    online: OnlineSide
    reports: Sequence[FeatureReport]
    postgres_url: str
    recheck_after_s: float
    tell: Callable[[str], None]

    def run(self, user_ids: Sequence[str]) -> int:
        """Compare users, chunk by chunk; return how many settled."""
        settled = 0
        for start in range(0, len(user_ids), _CHUNK_USERS):
            chunk = user_ids[start : start + _CHUNK_USERS]
            self.tell(f"comparing {start + 1:,} to {start + len(chunk):,} of {len(user_ids):,} users")
            rows = self._read(chunk)
            if differing := _differing(rows):
                again = self._read_again(differing)
                settled += len(again) - len(_differing(again))
                rows = {**rows, **again}
            for user_id, cells in rows.items():
                for report, cell in zip(self.reports, cells, strict=True):
                    report.add(user_id, cell)
        return settled

    def _read_again(self, user_ids: Sequence[str]) -> _Rows:
        self.tell(f"users who differ: {len(user_ids):,}; they are read again once no apply or materialization runs")
        time.sleep(self.recheck_after_s)
        with undisturbed(self.postgres_url, timeout_s=_MATERIALIZATION_TIMEOUT_S):
            return self._read(user_ids)

    def _read(self, user_ids: Sequence[str]) -> _Rows:
        with step("read offline", rows=len(user_ids)):
            trained = self.offline.read(user_ids, at=datetime.now(UTC))
        with step("read online", rows=len(user_ids)):
            served = self.online.read(user_ids)
        dtypes = [report.feature.dtype for report in self.reports]
        return {
            user_id: [compared(*cell) for cell in zip(dtypes, trained[user_id], served[user_id], strict=True)]
            for user_id in user_ids
        }


def _differing(rows: _Rows) -> list[str]:
    return [user_id for user_id, cells in rows.items() if any(cell.kinds for cell in cells)]


def _refuse_unapplied(connection: psycopg.Connection) -> None:
    if connection.execute("SELECT to_regnamespace(%s) IS NULL", (REGISTRY_SCHEMA,)).fetchone() == (True,):
        raise JobError("nothing is applied in this database; run `offline apply` first")


@contextmanager
def _explained() -> Iterator[None]:
    """Raise JobError instead of a store's own error."""
    try:
        yield
    except redis.RedisError as error:
        raise JobError(f"Redis failed: {error}; check REDIS_URL") from error
    except SQLAlchemyError as error:
        raise JobError(f"Feast's registry can't be read: {error}; check POSTGRES_URL and its user's rights") from error
    except psycopg.Error as error:
        said = " ".join((error.diag.message_primary or str(error)).split())
        if not isinstance(error, psycopg.OperationalError):
            # It may have a row.
            said = quoted(said)
        raise JobError(
            f"PostgreSQL failed: {said}; check POSTGRES_URL, and that its user may read the views' tables"
        ) from error
