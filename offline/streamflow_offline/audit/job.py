"""The audit: draw users, read them on both sides at the same instant, compare, and read again who differs."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import redis
from sqlalchemy.exc import SQLAlchemyError
from streamflow_features import FeatureClient, FeatureServingError
from streamflow_repo import JOIN_KEY
from streamflow_repo.settings.connections import REGISTRY_SCHEMA
from streamflow_repo.settings.redis_url import open_redis

from streamflow_offline.audit.cells import Feature
from streamflow_offline.audit.compare import ComparedCell, compared
from streamflow_offline.audit.definitions import Definitions, compare_definitions
from streamflow_offline.audit.offline_side import OfflineSide
from streamflow_offline.audit.online_side import OnlineSide, gateway_failure
from streamflow_offline.audit.report import AuditReport, FeatureReport
from streamflow_offline.audit.request import AuditRequest
from streamflow_offline.audit.sample import Group, draw_sample
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import connected, open_store, undisturbed

if TYPE_CHECKING:
    from feast import FeatureStore

_CHUNK_USERS = 10_000
_REDIS_TIMEOUT_S = 30.0
_MATERIALIZATION_TIMEOUT_S = 600.0


def audit_skew(
    request: AuditRequest,
    *,
    postgres_url: str,
    redis_url: str,
    on_progress: Callable[[str], None] | None = None,
) -> AuditReport:
    """Compare what the gateway serves with what training reads, and return what differs.

    Users who differ are read once more on both sides, while no apply or materialization of ours runs: what one was
    about to change counts as settled. Beside the users' ids, memory does not grow with them. `on_progress` gets lines
    of text. Raises JobError when there is nothing to compare, and when a store or the gateway can't be read.
    """
    started_s = time.monotonic()
    audited_at = datetime.now(UTC)
    request.check()
    with (
        _explained(),
        connected(postgres_url) as connection,
        FeatureClient(request.gateway, timeout_s=request.timeout_s) as client,
    ):
        # A source's DATE or TIMESTAMP is in UTC, as Feast reads it.
        connection.execute("SET TIME ZONE 'UTC'")
        _refuse_unapplied(connection)
        try:
            described = client.list_feature_services()
        except FeatureServingError as error:
            raise gateway_failure(request.gateway, error) from error
        with open_store(postgres_url=postgres_url, redis_url=redis_url) as store:
            definitions = compare_definitions(store, described, request.feature_service)
            users = {}
            comparison = _Comparison(
                features=definitions.features,
                postgres_url=postgres_url,
                recheck_after_s=request.recheck_after_s,
                tell=on_progress or _no_progress,
            )
            if definitions.features:
                users = _sample(store, connection, definitions, request, redis_url=redis_url)
                comparison.run(
                    [user_id for group in users.values() for user_id in group],
                    _offline_side(store, connection, definitions, request),
                    _online_side(client, definitions, request),
                )
    return AuditReport(
        feature_service=request.feature_service,
        gateway=request.gateway,
        threshold=request.threshold,
        seed=request.seed,
        audited_at=audited_at,
        duration_s=time.monotonic() - started_s,
        users={str(group): len(found) for group, found in users.items()},
        settled=comparison.settled,
        contracts=definitions.contracts,
        definitions=definitions.differences,
        features=comparison.reports,
    )


class _Comparison:
    """Reads users chunk by chunk, and counts in what they differ."""

    def __init__(
        self,
        *,
        features: Sequence[Feature],
        postgres_url: str,
        recheck_after_s: float,
        tell: Callable[[str], None],
    ) -> None:
        self.reports = [FeatureReport(feature=feature) for feature in features]
        self.settled = 0
        self._postgres_url = postgres_url
        self._recheck_after_s = recheck_after_s
        self._tell = tell

    def run(self, user_ids: Sequence[str], offline: OfflineSide, online: OnlineSide) -> None:
        for start in range(0, len(user_ids), _CHUNK_USERS):
            chunk = user_ids[start : start + _CHUNK_USERS]
            self._tell(f"comparing {start + 1:,} to {start + len(chunk):,} of {len(user_ids):,} users")
            for user_id, cells in self._compared(chunk, offline, online).items():
                for report, cell in zip(self.reports, cells, strict=True):
                    report.add(user_id, cell)

    def _compared(self, user_ids: Sequence[str], offline: OfflineSide, online: OnlineSide) -> "_Rows":
        rows = self._read(user_ids, offline, online)
        differing = [user_id for user_id, cells in rows.items() if _differ(cells)]
        if not differing:
            return rows
        self._tell(f"users who differ: {len(differing):,}; they are read again once no apply or materialization runs")
        time.sleep(self._recheck_after_s)
        with undisturbed(self._postgres_url, timeout_s=_MATERIALIZATION_TIMEOUT_S):
            again = self._read(differing, offline, online)
        self.settled += sum(not _differ(cells) for cells in again.values())
        return {**rows, **again}

    def _read(self, user_ids: Sequence[str], offline: OfflineSide, online: OnlineSide) -> "_Rows":
        trained = offline.read(user_ids, at=datetime.now(UTC))
        served = online.read(user_ids)
        dtypes = [report.feature.dtype for report in self.reports]
        return {
            user_id: [
                compared(dtype, offline_cell, online_cell)
                for dtype, offline_cell, online_cell in zip(dtypes, trained[user_id], served[user_id], strict=True)
            ]
            for user_id in user_ids
        }


_Rows = Mapping[str, Sequence[ComparedCell]]


def _differ(cells: Iterable[ComparedCell]) -> bool:
    return any(cell.kinds for cell in cells)


def _sample(
    store: "FeatureStore",
    connection: psycopg.Connection,
    definitions: Definitions,
    request: AuditRequest,
    *,
    redis_url: str,
) -> dict[Group, list[str]]:
    views = [store.get_feature_view(name) for name in sorted({feature.view for feature in definitions.features})]
    with open_redis(redis_url, timeout_s=_REDIS_TIMEOUT_S) as client:
        return draw_sample(
            connection, client, views, project=str(store.project), users=request.users, seed=request.seed
        )


def _offline_side(
    store: "FeatureStore", connection: psycopg.Connection, definitions: Definitions, request: AuditRequest
) -> OfflineSide:
    service = store.get_feature_service(request.feature_service)
    return OfflineSide(store, connection, service=service, join_key=JOIN_KEY, features=definitions.features)


def _online_side(client: FeatureClient, definitions: Definitions, request: AuditRequest) -> OnlineSide:
    return OnlineSide(
        client,
        gateway=request.gateway,
        feature_service=request.feature_service,
        contract_hash=definitions.gateway_hash,
        served=definitions.served,
        compared=[feature.reference for feature in definitions.features],
    )


def _refuse_unapplied(connection: psycopg.Connection) -> None:
    if connection.execute("SELECT to_regnamespace(%s) IS NULL", (REGISTRY_SCHEMA,)).fetchone() == (True,):
        raise JobError("nothing is applied in this database; run `offline apply` first")


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what a store fails with into JobError."""
    try:
        yield
    except redis.RedisError as error:
        raise JobError(f"Redis failed: {error}; check REDIS_URL") from error
    except SQLAlchemyError as error:
        raise JobError(f"Feast's registry can't be read: {error}; check POSTGRES_URL and its user's rights") from error
    except psycopg.Error as error:
        said = " ".join((error.diag.message_primary or str(error)).split())
        raise JobError(
            f"PostgreSQL failed: {said}; check POSTGRES_URL, and that its user may read the views' tables"
        ) from error


def _no_progress(_: str) -> None:
    """Drop the line."""
