"""`local up`, `local down`, `local status`, `local watch`: what `make` runs by these names."""

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from streamflow_repo.errors import SettingError
from streamflow_repo.runtime_checks import leave_out_runtime_checks
from streamflow_repo.settings.secrets import without_password

from streamflow_local.answers import Answer
from streamflow_local.config import ConfigError, StackConfig
from streamflow_local.layout import Layout
from streamflow_local.postgres import SocketPathError
from streamflow_local.status import status as stack_status
from streamflow_local.steps import StepError, Steps
from streamflow_local.supervisor import Supervisor, SupervisorError

_SHUTDOWN_TIMEOUT_S = 120.0

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Run the whole stack on this machine.")


@app.command()
def up(
    data: Annotated[Path | None, typer.Option(help="Load the month folders of this folder.")] = None,
    feature_repo: Annotated[
        Path | None, typer.Option(help="Serve the Feast repository of this folder instead of StreamFlow's.")
    ] = None,
    *,
    secure: Annotated[bool, typer.Option("--secure", help="With TLS, a token for callers, and passwords.")] = False,
) -> None:
    """Start the stack, load data on the first start, and print an answered call."""
    if data and feature_repo:
        raise ConfigError("DATA is StreamFlow's data, and FEATURE_REPO is another repository; set one of them")
    # Importing the jobs takes seconds; `status` and `down` don't need them.
    leave_out_runtime_checks()
    from streamflow_local.up import up as start  # noqa: PLC0415

    layout = _layout()
    with _one_at_a_time(layout):
        answer = start(
            layout,
            os.environ,
            Steps(sys.stdout, layout.logs / "up.log"),
            data=data,
            feature_repo=feature_repo,
            secure=secure,
        )
    _say_where(answer, StackConfig.load(layout), layout)


@app.command()
def down() -> None:
    """Stop the stack; the data stays."""
    supervisor = Supervisor(_layout())
    if not supervisor.running:
        typer.echo("not running")
        return
    supervisor.shutdown(timeout_s=_SHUTDOWN_TIMEOUT_S)
    typer.echo(f"stopped; the data stays in {_layout().state / 'data'}")


@app.command()
def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Show each process with pid, port and health; exit 1 unless all are healthy."""
    found = stack_status(_layout())
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    elif not found.running:
        typer.echo("not running; `make up` starts the stack")
    else:
        for process in found.processes:
            health = "ok" if process.healthy else f"{process.detail}; log: {process.log}"
            port = process.port or "socket"
            typer.echo(f"{process.name:<18}{process.state:<10}pid {process.pid or '-':<9}port {port:<9}{health}")
    raise typer.Exit(0 if found.healthy else 1)


@app.command()
def watch(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print what is seen within one interval, and end.")] = False,
    interval_s: Annotated[float, typer.Option(min=0.2, max=60, help="How often to look.")] = 1.0,
) -> None:
    """Show the processes and what the gateway does until Ctrl-C; once where the output is no terminal.

    The exit code is 1 if no stack runs.
    """
    from rich.console import Console  # noqa: PLC0415  # the other commands don't need it

    from streamflow_local.watch.watching import Watching  # noqa: PLC0415

    console = Console(highlight=False)
    watching = Watching(_layout(), interval_s=interval_s)
    if once or not console.is_terminal:
        raise typer.Exit(0 if watching.once(console) else 1)
    with suppress(KeyboardInterrupt):
        watching.live(console)


def main() -> None:
    """Run a command; an expected failure prints its message without a traceback and exits 1."""
    try:
        app()
    except (ConfigError, SettingError, SocketPathError, StepError, SupervisorError) as error:
        sys.exit(f"\nerror: {error}")


@contextmanager
def _one_at_a_time(layout: Layout) -> Iterator[None]:
    layout.run.mkdir(parents=True, exist_ok=True)
    with layout.up_lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StepError(f"another `make up` is at work on {layout.state}; wait until it has finished") from error
        yield


def _layout() -> Layout:
    return Layout.of_environment(os.environ)


def _say_where(answer: Answer, config: StackConfig, layout: Layout) -> None:
    grpc = f"127.0.0.1:{config.gateway_grpc_port}"
    http = f"{'https' if config.secure else 'http'}://127.0.0.1:{config.gateway_http_port}"
    lines = [
        "",
        f"{answer.call} answered:",
        "",
        *(f"  {line}" for line in answer.lines),
        "",
        f"gateway gRPC     {grpc}  {answer.grpc_service}",
        f"gateway HTTP     {http}{answer.http_path}",
        f"pages            {http}/pages",
        *(f"feature server   http://127.0.0.1:{port}" for port in config.feature_servers().values()),
        *([f"contract         {layout.repository_contract}"] if config.feature_repo else []),
        *stores(config, layout),
        *([f"authority        {layout.ca_file}", f"token            {layout.token}"] if config.secure else []),
        f"logs             {layout.logs}",
        f"for a shell      . {layout.environment_file}",
    ]
    typer.echo("\n".join(lines))


def stores(config: StackConfig, layout: Layout) -> list[str]:
    """Return the lines that say where the stores are, without their passwords."""
    return [
        f"PostgreSQL       {without_password(config.postgres_url(layout))}",
        f"Redis            {without_password(config.redis_url)}",
    ]


if __name__ == "__main__":
    main()
