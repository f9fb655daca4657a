"""`offline`: the jobs on StreamFlow's month data, as commands."""

import sys

import typer
from streamflow_repo.errors import SettingError
from streamflow_repo.runtime_checks import leave_out_runtime_checks

from streamflow_offline.commands.apply import apply
from streamflow_offline.commands.audit import audit_skew
from streamflow_offline.commands.flow import flow
from streamflow_offline.commands.generate import generate
from streamflow_offline.commands.ingest import ingest, sample
from streamflow_offline.commands.materialize import materialize
from streamflow_offline.errors import JobError
from streamflow_offline.export.command import export
from streamflow_offline.training_set.command import training_set

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Jobs on StreamFlow's month data. Connections come from POSTGRES_URL and REDIS_URL.",
)
for command in (generate, ingest, sample, apply, materialize, export, training_set, audit_skew, flow):
    app.command(command.__name__.replace("_", "-"))(command)


@app.callback()
def _prepare(context: typer.Context) -> None:
    # Who applies definitions may have written them.
    if context.invoked_subcommand != apply.__name__:
        leave_out_runtime_checks()


def main() -> None:
    """Run a command; a job's error is one message without a traceback, and the exit code is 1."""
    try:
        app()
    except (SettingError, JobError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
