"""StreamFlow's own repository on the stack: its data loaded, its definitions applied, its features materialized."""

from collections.abc import Callable
from pathlib import Path

from streamflow_offline.apply.job import apply_definitions
from streamflow_offline.generate.job import generate_months
from streamflow_offline.grant.job import Role
from streamflow_offline.ingest.job import ingest
from streamflow_offline.ingest.load import MonthReport
from streamflow_offline.materialize.job import materialize
from streamflow_offline.materialize.losses import DEFAULT_ALLOWED_SHARE
from streamflow_offline.materialize.report import ViewReport
from streamflow_offline.sample.job import has_months

from streamflow_local.accounts import connections
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.steps import Steps


def load(
    config: StackConfig, layout: Layout, steps: Steps, *, data: Path | None, on_applied: Callable[[], None]
) -> None:
    """Load `data`, or generated data if PostgreSQL has none, and apply and materialize StreamFlow's definitions.

    `on_applied` is called when the registry has the definitions.
    """
    definitions, jobs = (connections(config, layout, role) for role in (Role.DEFINITIONS, Role.JOBS))
    months = data
    # Makes the tables, which the jobs' role may not.
    if not has_months(definitions.postgres_url) and months is None:
        months = layout.generated_months
        if not months.exists():
            with steps.step("generating two months of sample data"):
                generate_months(months)
    if months is not None:
        with steps.step(f"loading {months}"):
            for month in ingest(months, postgres_url=jobs.postgres_url, on_progress=steps.detail):
                steps.progress(_month_line(month))
    with steps.step("applying the feature definitions and writing contract.json"):
        contract_hash = apply_definitions(
            postgres_url=definitions.postgres_url, redis_url=definitions.redis_url, on_output=steps.detail
        )
        steps.progress(f"contract {contract_hash}")
    on_applied()
    # Data that are named replace what the stack had. A Redis of others may serve more than this stack.
    replaced = data is not None and not config.external_redis_url
    with steps.step("materializing the newest features"):
        for view in materialize(
            postgres_url=jobs.postgres_url,
            redis_url=jobs.redis_url,
            allow_departed=1.0 if replaced else DEFAULT_ALLOWED_SHARE,
            on_progress=steps.detail,
        ):
            steps.progress(_view_line(view))


def _month_line(month: MonthReport) -> str:
    rows, inserted, updated, removed = (
        sum(counts)
        for counts in zip(
            *((table.rows, table.inserted, table.updated, table.removed) for table in month.tables), strict=True
        )
    )
    return (
        f"{month.as_of}: {rows:,} rows in {len(month.tables)} snapshot tables, "
        f"{inserted:,} new, {updated:,} changed, {removed:,} removed"
    )


def _view_line(view: ViewReport) -> str:
    newest = view.newest.date().isoformat() if view.newest else "none"
    left_out = f", {view.later_rows} rows dated after now left out" if view.later_rows else ""
    departed = f", {view.departed} departed users removed" if view.departed else ""
    return f"{view.view}: {view.users:,} users, newest {newest}{departed}{left_out}"
