"""`offline flow`: from its options to the Prefect flow, on the server of PREFECT_API_URL or on one of its own."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from streamflow_logs import Event

from streamflow_offline.audit.command import local_gateway
from streamflow_offline.console import show
from streamflow_offline.errors import JobError


def flow(
    *,
    out: Annotated[Path, typer.Option(help="The folder of a Parquet dataset, or a CSV file named *.csv.")],
    data: Annotated[Path | None, typer.Option(help="A folder of month folders to load first.")] = None,
    service: Annotated[str, typer.Option(help="The feature service.")] = "churn_v1",
    as_of: Annotated[
        list[datetime] | None,
        typer.Option(formats=["%Y-%m-%d"], help="A day of label snapshots; may be repeated. Default: all."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Put it in the place of an earlier one.")] = False,
    contract: Annotated[Path | None, typer.Option(help="Where contract.json is written.")] = None,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Materialize only what changed since the last run.")
    ] = False,
    gateway: Annotated[
        str | None, typer.Option(help="The gateway to audit. Default: 127.0.0.1 and GATEWAY_GRPC_PORT, else 50051.")
    ] = None,
    audit_users: Annotated[int, typer.Option(help="How many users to audit.")] = 1000,
    audit_all: Annotated[bool, typer.Option("--audit-all", help="Audit all users.")] = False,
    audit_threshold: Annotated[float, typer.Option(help="The share of differing users that a feature may have.")] = 0.0,
) -> None:
    """Ingest, apply, materialize, training set and audit as one Prefect flow; exit 1 when one fails."""
    try:
        from streamflow_offline.flow.pipeline import training_data  # noqa: PLC0415  # Prefect may not be installed
    except ModuleNotFoundError as error:
        if error.name != "prefect":
            raise
        raise JobError("the flow needs Prefect; install streamflow-offline[prefect]") from error
    report = training_data(
        out.absolute(),
        data=data.absolute() if data else None,
        feature_service=service,
        as_of=tuple(day.date() for day in as_of or ()),
        overwrite=overwrite,
        contract=contract.absolute() if contract else None,
        incremental=incremental,
        gateway=gateway or local_gateway(),
        audit_users=None if audit_all else audit_users,
        audit_threshold=audit_threshold,
    )
    content_hash = report.manifest["content_hash"]
    show(f"{report.out}  {content_hash}", events=[Event("flow ended", out=report.out, content_hash=content_hash)])
