"""The errors of a load tool's command."""

import asyncio

import pytest
import typer
from streamflow_loadtests.run_command import run_command


def _app(*errors: Exception) -> typer.Typer:
    """Return an app of tasks that run together, each of which fails with an error."""

    async def fail(error: Exception) -> None:
        raise error

    async def together() -> None:
        async with asyncio.TaskGroup() as tasks:
            for error in errors:
                tasks.create_task(fail(error))

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(lambda: asyncio.run(together()))
    return app


def test_an_expected_error_of_tasks_that_run_together_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tool"])
    with pytest.raises(SystemExit) as ended:
        run_command(
            _app(TimeoutError("no server"), ValueError("no data")), errors=(TimeoutError, ValueError), failed="no run: "
        )
    assert ended.value.code == "\nno run: no server"


def test_an_unforeseen_error_beside_an_expected_one_has_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tool"])
    with pytest.raises(ExceptionGroup):
        run_command(_app(TimeoutError("no server"), KeyError("a fault")), errors=(TimeoutError,))
