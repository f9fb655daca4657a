"""Each job as a Prefect task, which logs to Prefect and is repeated while a store is away."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from prefect import Task, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.apply import job as apply
from streamflow_offline.audit import job as audit
from streamflow_offline.audit.job import AuditRequest
from streamflow_offline.errors import JobError
from streamflow_offline.flow import artifacts
from streamflow_offline.flow.retries import store_was_away
from streamflow_offline.ingest import job as ingest
from streamflow_offline.materialize import job as materialize
from streamflow_offline.reported import reported
from streamflow_offline.training_set import TrainingSetReport, TrainingSetRequest
from streamflow_offline.training_set import job as training_set

RETRY_DELAYS_S = (5.0, 30.0, 120.0)
"""How long a task that found a store away waits before each repetition."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _job(function: Callable[_P, _R]) -> Task[_P, _R]:
    """Return a task whose result is never stored or taken from an earlier run; every job may be repeated."""
    return task(
        name=function.__name__.replace("_", "-"),
        retries=len(RETRY_DELAYS_S),
        retry_delay_seconds=list(RETRY_DELAYS_S),
        retry_condition_fn=store_was_away,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(function)


@_job
def ingest_months(data: Path) -> None:
    """Load the month folders in `data` into PostgreSQL."""
    tell = get_run_logger().info
    postgres_url, _ = urls_from_environment(os.environ)
    with reported("ingest") as result:
        months = ingest.ingest(data, postgres_url=postgres_url, on_progress=tell)
        result.rows = sum(month.rows for month in months)
    for month in months:
        changed = sum(table.inserted + table.updated + table.removed for table in month.tables)
        tell(f"{month.as_of}: {month.rows:,} rows, {changed:,} of them changed")


@_job
def apply_definitions(contract: Path | None) -> None:
    """Apply the feature definitions and write contract.json, or `contract`."""
    tell = get_run_logger().info
    postgres_url, redis_url = urls_from_environment(os.environ)
    with reported("apply"):
        contract_hash = apply.apply_definitions(
            postgres_url=postgres_url, redis_url=redis_url, on_output=tell, contract_path=contract
        )
    tell(f"contract {contract_hash}")


@_job
def materialize_features(*, incremental: bool) -> None:
    """Write users' newest features into Redis."""
    tell = get_run_logger().info
    postgres_url, redis_url = urls_from_environment(os.environ)
    with reported("materialize") as result:
        reports = materialize.materialize(
            postgres_url=postgres_url, redis_url=redis_url, incremental=incremental, on_progress=tell
        )
        result.rows = sum(report.written for report in reports)
    for report in reports:
        tell(f"{report.view}: {report.written:,} rows written, {report.users_online:,} users in Redis")


@_job
def build_training_set(request: TrainingSetRequest) -> TrainingSetReport:
    """Build the training set, and leave its manifest as an artifact."""
    postgres_url, redis_url = urls_from_environment(os.environ)
    with reported("training-set", feature_service=request.service) as result:
        report = training_set.build_training_set(
            request, postgres_url=postgres_url, redis_url=redis_url, on_progress=get_run_logger().info
        )
        result.rows = report.manifest["rows"]
    create_markdown_artifact(
        artifacts.manifest_markdown(report), key=artifacts.MANIFEST_KEY, description=report.manifest["content_hash"]
    )
    return report


@_job
def audit_skew(request: AuditRequest) -> None:
    """Compare what the gateway serves with what training reads, and leave the result as an artifact.

    Raises JobError when more differs than may.
    """
    postgres_url, redis_url = urls_from_environment(os.environ)
    with reported("audit-skew", feature_service=request.feature_service) as result:
        report = audit.audit_skew(
            request, postgres_url=postgres_url, redis_url=redis_url, on_progress=get_run_logger().info
        )
        result.rows, result.audit_passed = report.compared, report.passed
    create_markdown_artifact(
        artifacts.audit_markdown(report), key=artifacts.AUDIT_KEY, description=f"passed: {report.passed}"
    )
    if not report.passed:
        raise JobError(artifacts.audit_failure(report))
