"""The flow: ingest, apply, materialize, training set, audit."""

from datetime import date
from pathlib import Path

from prefect import flow

from streamflow_offline.audit.job import DEFAULT_USERS, AuditRequest
from streamflow_offline.flow import tasks
from streamflow_offline.training_set import TrainingSetReport, TrainingSetRequest
from streamflow_offline.training_set.target import check_target


@flow(name="streamflow-training-data", persist_result=False)
def training_data(
    out: Path,
    *,
    data: Path | None = None,
    feature_service: str = "churn_v1",
    as_of: tuple[date, ...] = (),
    overwrite: bool = False,
    contract: Path | None = None,
    incremental: bool = False,
    gateway: str = AuditRequest.gateway,
    audit_users: int | None = DEFAULT_USERS,
    audit_threshold: float = AuditRequest.threshold,
) -> TrainingSetReport:
    """Bring features from month folders to serving and into a training set, and prove that these agree.

    Connections come from POSTGRES_URL and REDIS_URL of the process that runs the flow, because a Prefect server shows
    parameters to all who read it. What can't be asked for is refused before anything is written.

    Args:
        out: The training set: the folder of a Parquet dataset, or a CSV file.
        data: A folder of month folders to load first; none to go by what PostgreSQL has.
        feature_service: Whose features are audited, and in the training set.
        as_of: The label snapshots of the training set; all without any.
        overwrite: Whether a training set that `out` already is gives way to the new one.
        contract: Where the gateway's contract is written; by default contract.json of the feature repository.
        incremental: Whether only what changed since the last materialization is written to Redis.
        gateway: The address of the gateway to audit.
        audit_users: How many users to audit; none for all.
        audit_threshold: The share of differing users that a feature may have; above it the flow fails.
    """
    request = TrainingSetRequest(service=feature_service, out=out, as_of=as_of, overwrite=overwrite)
    audit = AuditRequest(feature_service=feature_service, gateway=gateway, users=audit_users, threshold=audit_threshold)
    request.check()
    check_target(request)
    audit.check()
    if data is not None:
        tasks.ingest_months(data)
    tasks.apply_definitions(contract)
    tasks.materialize_features(incremental=incremental)
    report = tasks.build_training_set(request)
    tasks.audit_skew(audit)
    return report
