"""No command shows any part of a URL's password, whatever is wrong with the URL."""

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from feast_contract import __main__ as exporter
from feature_gateway import __main__ as gateway
from hostile_urls import REACHABLE, hostile, leaks, some
from streamflow_loadtests.load import options, store
from streamflow_loadtests.training_set import __main__ as training_set_benchmark
from streamflow_local import cli as local
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_offline import cli as offline
from streamflow_repo import contract, logs
from streamflow_repo.server import __main__ as feature_server
from streamflow_repo.settings import __main__ as settings
from streamflow_repo.settings.connections import feast_environment, urls_from_environment


def _shown(run: Callable[[], object]) -> str:
    """All that an error's traceback and its causes say; nothing if there is no error."""
    try:
        run()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a command ends with
        return "".join(traceback.format_exception(error))
    return ""


def _feast(environment: dict[str, str]) -> None:
    postgres_url, redis_url = urls_from_environment(environment)
    feast_environment(postgres_url=postgres_url, redis_url=redis_url)


@pytest.mark.parametrize("variable", ["POSTGRES_URL", "REDIS_URL"])
def test_no_url_that_is_read_is_told(variable: str) -> None:
    told = {url: _shown(partial(_feast, {**REACHABLE, variable: url})) for url in hostile(variable)}
    assert [(url, leaks(text)) for url, text in told.items() if leaks(text)] == []
    assert sum(f"{variable} " in text for text in told.values()) > len(told) / 2


@pytest.mark.parametrize("variable", ["POSTGRES_URL", "REDIS_URL"])
def test_a_stack_tells_none_and_shows_none(variable: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout.of_environment({"STREAMFLOW_STATE": str(tmp_path)})
    for url in hostile(variable):

        def say(url: str = url) -> None:
            config = StackConfig.of_environment({**REACHABLE, variable: url})
            sys.stdout.write("\n".join(local.stores(config, layout)))

        assert leaks(_shown(say)) == [], url
        assert leaks("".join(capsys.readouterr())) == [], url


def test_the_store_of_a_load_tells_none() -> None:
    for url in hostile("REDIS_URL"):
        with pytest.raises(store.StoreError) as raised:
            store.user_ids({"REDIS_URL": url}, join_key="user_id", at_most=1)
        assert leaks("".join(traceback.format_exception(raised.value))) == [], url


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., str]:
    """Run a command in this process, with arguments and variables; return all that it prints, logs and ends with.

    The logs of the processes that it starts are part of it.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMFLOW_STATE", str(tmp_path / "state"))
    caplog.set_level(logging.DEBUG)
    # Each line is seen, whatever a process would leave out.
    for module in (gateway, exporter, logs):
        monkeypatch.setattr(module, "configure", lambda *_, **__: None)

    def run(main: Callable[[], object], arguments: Sequence[str], variables: dict[str, str]) -> str:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        ended = _shown(main)
        printed = "".join(capfd.readouterr())
        logged = caplog.text
        caplog.clear()
        logs = [path.read_text(errors="replace") for path in tmp_path.rglob("*.log*")]
        return printed + logged + ended + "".join(logs)

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        *(["ingest", "months"], ["sample"], ["apply"], ["materialize"], ["export", "--out", "exported"]),
        *(["training-set", "--out", "out"], ["audit-skew"], ["materialize", "--incremental"]),
    ],
    ids=" ".join,
)
def test_no_job_tells_one(arguments: list[str], run: Callable[..., str]) -> None:
    for variable in ("POSTGRES_URL", "REDIS_URL"):
        for url in some(variable):
            shown = run(offline.main, arguments, {**REACHABLE, variable: url})
            assert "error: " in shown, url
            assert leaks(shown) == [], url


@pytest.mark.slow
def test_no_task_of_the_flow_tells_one(run: Callable[..., str]) -> None:
    tasks: Any = importlib.import_module("streamflow_offline.flow.tasks")
    for variable in ("POSTGRES_URL", "REDIS_URL"):
        for url in some(variable):
            shown = run(
                lambda: tasks.materialize_features.fn(incremental=False),
                [],
                {**REACHABLE, variable: url, "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore"},
            )
            assert leaks(shown) == [], url


@pytest.mark.slow
def test_no_other_command_tells_one(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot_be_run(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "execvpe", cannot_be_run)
    commands: list[tuple[Callable[[], object], list[str], dict[str, str]]] = [
        (settings.main, ["feast", "serve"], {}),
        (feature_server.main, ["serve"], {"FEATURE_SERVER": "other"}),
        (contract.main, ["--check"], {}),
        (local.main, ["status"], {}),
        (local.main, ["down"], {}),
        (local.main, ["up"], {}),
        (training_set_benchmark.main, [], {}),
    ]
    for main, arguments, variables in commands:
        for variable in ("POSTGRES_URL", "REDIS_URL"):
            for url in some(variable):
                assert leaks(run(main, arguments, {**REACHABLE, **variables, variable: url})) == [], (main, url)


def test_the_exporter_of_contracts_tells_none(run: Callable[..., str], tmp_path: Path) -> None:
    settings_file = tmp_path / "feature_store.yaml"
    registry = "registry: {registry_type: sql, path: '${REGISTRY_URL}'}"
    settings_file.write_text(f"project: p\nprovider: local\nonline_store: {{type: sqlite}}\n{registry}\n", "utf-8")
    urls = [*some("POSTGRES_URL"), *(f"postgresql://svc:{each}@127.0.0.1:1/x" for each in ("s3kr$zzw9", "s3kr@31337"))]
    for url in (each.replace("postgresql:", "postgresql+psycopg:") for each in urls):
        shown = run(lambda: sys.exit(exporter.main()), ["export", "--out", "contract.json"], {"REGISTRY_URL": url})
        assert "feast-contract: " in shown, url
        assert leaks(shown) == [], url


def test_the_gateway_tells_none(run: Callable[..., str]) -> None:
    for url in hostile("URL"):
        shown = run(
            gateway.main, [], {"GATEWAY_FEATURE_SERVER_URLS": f"http://a,{url}", "GATEWAY_CONTRACT_PATH": "/nowhere"}
        )
        assert "feature-gateway: GATEWAY_FEATURE_SERVER_URLS" in shown, url
        assert leaks(shown) == [], url


def test_no_address_of_a_load_tells_one() -> None:
    for url in hostile("URL"):
        shown = _shown(partial(options.urls, url))
        assert "ArgumentTypeError" in shown, url
        assert leaks(shown) == [], url
