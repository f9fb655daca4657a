"""`offline`: the jobs on StreamFlow's month data, as commands."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from streamflow_repo.errors import SettingError
from streamflow_repo.runtime_checks import leave_out_runtime_checks
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import out as _out
from streamflow_offline.console import progress_out, tell
from streamflow_offline.errors import JobError
from streamflow_offline.export.command import export
from streamflow_offline.json_file import refuse_unwritable
from streamflow_offline.training_set.command import training_set

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Jobs on StreamFlow's month data. Connections come from POSTGRES_URL and REDIS_URL.",
)


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="The folder to write month_000, month_001, … into.")],
    users: Annotated[int, typer.Option(help="How many users.")] = 7043,
    months: Annotated[int, typer.Option(help="How many months, from January 2024.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
) -> None:
    """Write month folders of sample data with StreamFlow's distributions."""
    from streamflow_offline.generate import generate_months  # noqa: PLC0415  # commands load what they use

    with _bar() as bar:
        task = bar.add_task("generating rows", total=None)

        def on_progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        folders = generate_months(out, users=users, months=months, seed=seed, on_progress=on_progress)
    for folder in folders:
        _out.print(str(folder), soft_wrap=True)


@app.command()
def ingest(
    path: Annotated[Path, typer.Argument(help="A folder of month folders, or one month folder.")],
) -> None:
    """Check month folders and load them into PostgreSQL, each month whole or not at all."""
    from streamflow_offline.ingest import ingest as load  # noqa: PLC0415  # commands load what they use

    postgres_url, _ = urls_from_environment(os.environ)
    reports = load(path, postgres_url=postgres_url, on_progress=tell)
    table = Table("as_of", "table", "rows", "inserted", "updated", "removed", "unchanged", box=None)
    for month in reports:
        for entry in month.tables:
            counts = (entry.rows, entry.inserted, entry.updated, entry.removed, entry.unchanged)
            table.add_row(month.as_of.isoformat(), entry.name, *(f"{count:,}" for count in counts))
    _out.print(table)


@app.command()
def sample() -> None:
    """Load generated months into a PostgreSQL that has no months yet; leave any other alone."""
    from streamflow_offline.sample import load_sample  # noqa: PLC0415  # commands load what they use

    postgres_url, _ = urls_from_environment(os.environ)
    _out.print("loaded" if load_sample(postgres_url, on_progress=tell) else "PostgreSQL has months already")


@app.command()
def apply(
    *,
    contract: Annotated[
        Path | None,
        typer.Option(
            envvar="STREAMFLOW_CONTRACT", help="Where contract.json is written. Default: in the feature repository."
        ),
    ] = None,
) -> None:
    """Apply the feature definitions with Feast and write contract.json."""
    from streamflow_offline.apply import apply_definitions  # noqa: PLC0415  # commands load what they use

    postgres_url, redis_url = urls_from_environment(os.environ)
    contract_hash = apply_definitions(
        postgres_url=postgres_url,
        redis_url=redis_url,
        on_output=lambda line: _out.print(line, markup=False),
        contract_path=contract,
    )
    _out.print(f"contract {contract_hash}")


@app.command()
def materialize(
    *,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what was ingested or corrected since the last run.")
    ] = False,
    start: Annotated[
        datetime | None, typer.Option(help="Only the users whose newest row is of this moment, in UTC, or later.")
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option(
            help="Only rows up to this moment, in UTC; without --start refused if it leaves rows out. Default: now."
        ),
    ] = None,
    view: Annotated[list[str] | None, typer.Option(help="A feature view; may be repeated. Default: all.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="A file for the report as JSON.")] = None,
) -> None:
    """Write each user's newest features into Redis, and compare it with PostgreSQL; exit 1 if they differ."""
    from streamflow_offline.materialize import FreshnessError, write_json  # noqa: PLC0415  # commands load what they use
    from streamflow_offline.materialize import materialize as run  # noqa: PLC0415  # the same
    from streamflow_offline.materialize.text import as_table  # noqa: PLC0415  # the same

    postgres_url, redis_url = urls_from_environment(os.environ)
    refuse_unwritable(json_file)
    different = None
    try:
        reports = run(
            postgres_url=postgres_url,
            redis_url=redis_url,
            start=start.replace(tzinfo=UTC) if start else None,
            end=end.replace(tzinfo=UTC) if end else None,
            incremental=incremental,
            views=view or (),
            on_progress=tell,
        )
    except FreshnessError as error:
        reports, different = list(error.reports), error
    _out.print(as_table(reports))
    if json_file is not None:
        write_json(json_file, reports)
    if different is not None:
        raise different


app.command()(export)
app.command("training-set")(training_set)


@app.command("audit-skew")
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
    timeout_s: Annotated[float, typer.Option(help="What a call to the gateway may take, in seconds.")] = 10.0,
) -> None:
    """Compare what the gateway serves with what training reads; exit 1 above the threshold, 2 if it can't be told."""
    from streamflow_offline.audit import AuditRequest  # noqa: PLC0415  # commands load what they use
    from streamflow_offline.audit.command import local_gateway, run  # noqa: PLC0415  # the same

    request = AuditRequest(
        feature_service=feature_service,
        gateway=gateway or local_gateway(),
        users=None if all_users else users,
        threshold=threshold,
        seed=seed,
        timeout_s=timeout_s,
    )
    raise typer.Exit(run(request, json_file=json_file, out=_out, tell=tell))


def main() -> None:
    """Run a command; a job's refusal is told in its own words, without a traceback, and exits 1."""
    leave_out_runtime_checks()
    try:
        app()
    except (SettingError, JobError) as error:
        sys.exit(f"error: {error}")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=progress_out,
    )


if __name__ == "__main__":
    main()
