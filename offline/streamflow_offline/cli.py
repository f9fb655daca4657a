"""`offline`: the jobs on StreamFlow's month data, as commands."""

import sys

import typer
from streamflow_logs import end_with, log_failure, writes_json
from streamflow_repo.errors import SettingError
from streamflow_repo.logs import configure_logs
from streamflow_repo.runtime_checks import leave_out_runtime_checks
from typer.exceptions import TyperException
from typer.main import get_command

from streamflow_offline.apply.command import apply
from streamflow_offline.audit.command import audit_skew
from streamflow_offline.errors import JobError
from streamflow_offline.export.command import export
from streamflow_offline.flow.command import flow
from streamflow_offline.generate.command import generate
from streamflow_offline.grant.command import grant
from streamflow_offline.ingest.command import ingest
from streamflow_offline.materialize.command import materialize
from streamflow_offline.sample.command import sample
from streamflow_offline.steps import traced_command
from streamflow_offline.training_set.command import training_set

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Jobs on StreamFlow's month data. Connections come from POSTGRES_URL and REDIS_URL.",
)
for command in (generate, grant, ingest, sample, apply, materialize, export, training_set, audit_skew, flow):
    app.command(command.__name__.replace("_", "-"))(command)


@app.callback()
def _prepare(context: typer.Context) -> None:
    # Who applies definitions may have written them.
    if context.invoked_subcommand != apply.__name__:
        leave_out_runtime_checks()


def main() -> None:
    """Run a command; a job's error is one message without a traceback, and the exit code is 1."""
    try:
        configure_logs()
        with traced_command(sys.argv[1:]):
            if writes_json():
                sys.exit(_logged())
            app()
    except JobError as error:
        end_with(f"error: {error}", error.logged)
    except SettingError as error:
        end_with(f"error: {error}", str(error))


def _logged() -> int:
    """Run a command without what Typer prints of errors, and return its exit code."""
    try:
        # Not the app itself: it has exceptions printed.
        return get_command(app)(standalone_mode=False) or 0
    except TyperException as error:
        log_failure("", error.format_message())
        return error.exit_code


if __name__ == "__main__":
    main()
