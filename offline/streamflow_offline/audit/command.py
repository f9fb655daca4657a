"""`offline audit-skew`: from its options to the printed report, and an exit code that tells skew from failure."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from streamflow_repo.errors import SettingError
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import complain, show, tell
from streamflow_offline.errors import JobError
from streamflow_offline.html import refuse_html, write_html
from streamflow_offline.json_file import refuse_unwritable, write_json
from streamflow_offline.reported import reported

if TYPE_CHECKING:
    from streamflow_offline.audit.job import AuditRequest

DEFAULT_GATEWAY_PORT = 50051
_PASSED, _SKEWED, _NOT_DONE = 0, 1, 2


def local_gateway() -> str:
    """Return the local stack's gateway, by GATEWAY_GRPC_PORT."""
    return f"127.0.0.1:{os.environ.get('GATEWAY_GRPC_PORT') or DEFAULT_GATEWAY_PORT}"


def audit_skew(
    *,
    users: Annotated[int, typer.Option(help="How many of the users with features in PostgreSQL.")] = 1000,
    all_users: Annotated[bool, typer.Option("--all", help="All users of PostgreSQL and of Redis.")] = False,
    feature_service: Annotated[str, typer.Option(help="The feature service.")] = "churn_v1",
    gateway: Annotated[
        str | None, typer.Option(help="HOST:PORT. Default: 127.0.0.1 and GATEWAY_GRPC_PORT, else 50051.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="The share of differing users that a feature may have.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same users.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="A file for the report as JSON.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="A file for the report as a page.")] = None,
    timeout_s: Annotated[float, typer.Option(help="What a call to the gateway may take, in seconds.")] = 10.0,
) -> None:
    """Compare what the gateway serves with what training reads; exit 1 above the threshold, 2 if it can't be told."""
    from streamflow_offline.audit.job import AuditRequest  # noqa: PLC0415  # commands load what they use

    request = AuditRequest(
        feature_service=feature_service,
        gateway=gateway or local_gateway(),
        users=None if all_users else users,
        threshold=threshold,
        seed=seed,
        timeout_s=timeout_s,
    )
    raise typer.Exit(run(request, json_file=json_file, html_file=html_file))


def run(request: "AuditRequest", *, json_file: Path | None, html_file: Path | None = None) -> int:
    """Audit and print the report; return 0, 1 for skew above the threshold, or 2 if the audit could not be made."""
    from streamflow_offline.audit.job import audit_skew as audit  # noqa: PLC0415  # commands load what they use
    from streamflow_offline.audit.page import audit_page  # noqa: PLC0415  # the same
    from streamflow_offline.audit.report import as_events, as_tables, examples_as_events  # noqa: PLC0415  # the same

    try:
        with reported("audit-skew", feature_service=request.feature_service) as result:
            refuse_unwritable(json_file)
            refuse_html(html_file)
            postgres_url, redis_url = urls_from_environment(os.environ)
            report = audit(request, postgres_url=postgres_url, redis_url=redis_url, on_progress=tell)
            result.rows, result.audit_passed = report.compared, report.passed
            show(*as_tables(report), events=as_events(report), of_users=examples_as_events(report))
            write_json(json_file, report.as_json())
            if html_file is not None:
                write_html(html_file, audit_page(report))
    except (SettingError, JobError) as error:
        complain(error)
        return _NOT_DONE
    return _PASSED if report.passed else _SKEWED
