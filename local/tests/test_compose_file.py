"""docker-compose.yml is valid and consistent, and gives no container more rights than it needs."""

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from compose_file import FILE, document, is_job
from dockerfile import IMAGES, stages
from feature_gateway.settings import Settings
from stack_under_test import BIN, CHECKOUT
from streamflow_offline.cli import app
from streamflow_repo.settings.connections import feast_environment, urls_from_environment

_COMPOSE = document()
_SERVICES: dict[str, dict[str, Any]] = _COMPOSE["services"]
_EACH = pytest.mark.parametrize("name", _SERVICES)
_DOCKERFILES = {str(path.relative_to(CHECKOUT)): path for path in IMAGES.values()}


def test_the_file_is_a_compose_file_by_the_specifications_schema() -> None:
    result = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "version" not in _COMPOSE


@_EACH
def test_a_container_may_do_no_more_than_it_needs(name: str) -> None:
    service = _SERVICES[name]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]  # noqa: S108  # a container's own
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"} & set(service)


@_EACH
def test_a_container_does_not_run_as_root(name: str) -> None:
    service = _SERVICES[name]
    user = service.get("user")
    if user is None:
        user = stages(_DOCKERFILES[service["build"]["dockerfile"]])[-1].last("USER").text
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@_EACH
def test_an_image_has_a_version(name: str) -> None:
    tag = _SERVICES[name]["image"].rpartition(":")[2]
    assert re.match(r"v?\d", tag)


@_EACH
def test_logs_have_a_limit(name: str) -> None:
    assert _SERVICES[name]["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


@_EACH
def test_ports_are_on_loopback(name: str) -> None:
    for port in _SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z0-9_]+:-\d+\}:\d+", port)


@_EACH
def test_a_container_that_ends_or_fails_is_started_again(name: str) -> None:
    # The attempts of a job have a limit, so that the services that wait for the job fail at some time.
    assert _SERVICES[name]["restart"] == ("on-failure:10" if is_job(_SERVICES[name]) else "unless-stopped")


@_EACH
def test_what_is_waited_for_exists_and_can_come_true(name: str) -> None:
    profiles = set(_SERVICES[name].get("profiles", []))
    for needed, terms in _SERVICES[name].get("depends_on", {}).items():
        service = _SERVICES[needed]
        assert set(service.get("profiles", [])) <= profiles
        if terms["condition"] == "service_completed_successfully":
            assert is_job(service)
        else:
            assert terms["condition"] == "service_healthy"
            assert _has_health_check(service)


def test_volumes_and_secrets_that_are_declared_are_those_that_are_used() -> None:
    mounted = {text.split(":")[0] for service in _SERVICES.values() for text in service.get("volumes", [])}
    assert {name for name in mounted if not name.startswith("./")} == set(_COMPOSE["volumes"])
    secrets = {secret for service in _SERVICES.values() for secret in service.get("secrets", [])}
    assert secrets == set(_COMPOSE["secrets"])


@_EACH
def test_a_file_of_the_checkout_that_is_mounted_is_there_and_can_not_be_written(name: str) -> None:
    for text in _SERVICES[name].get("volumes", []):
        source, *_, mode = text.split(":")
        if source.startswith("./"):
            assert (CHECKOUT / source).exists(), source
            assert mode == "ro", source


@_EACH
def test_a_mounted_secret_is_what_the_environment_names(name: str) -> None:
    named = {value for _, value in _variables(name) if value.startswith("/run/secrets/")}
    mounted = {f"/run/secrets/{secret}" for secret in _SERVICES[name].get("secrets", [])}
    read_by_command = {path for path in mounted if path in str(_SERVICES[name].get("command"))}
    assert named | read_by_command == mounted


def test_no_password_stands_in_the_file() -> None:
    for name in _SERVICES:
        for variable, value in _variables(name):
            assert not variable.endswith(("PASSWORD", "TOKEN", "KEY")), variable
            assert not re.search(r"://[^/@]*:[^/@]+@", value), variable


def test_secrets_are_files_that_git_ignores_and_make_writes() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    target = makefile.split("\nsecrets:")[1].split(".PHONY")[0]
    assert ".local/" in (CHECKOUT / ".gitignore").read_text(encoding="utf-8").splitlines()
    for name, secret in _COMPOSE["secrets"].items():
        assert secret == {"file": f".local/secrets/{name}"}
        assert name in makefile.split("\nSECRETS :=")[1].split(".PHONY")[0].split()
    assert "$(SECRETS)" in target


def test_the_connections_can_be_used_by_feast(tmp_path: Any) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n", encoding="utf-8")
    for name in ("sample", "apply", "materialize", "feast", "feast-2", "feast-ui", "flow"):
        environment = dict(_variables(name))
        for variable in ("POSTGRES_PASSWORD_FILE", "REDIS_PASSWORD_FILE"):
            environment[variable] = str(password)
        postgres_url, redis_url = urls_from_environment(environment)
        assert feast_environment(postgres_url=postgres_url, redis_url=redis_url)
        assert {_host(postgres_url), _host(redis_url)} <= set(_SERVICES)


def test_the_gateway_reads_the_contract_that_apply_writes() -> None:
    apply = dict(_variables("apply"))["STREAMFLOW_CONTRACT"]
    gateway = Settings.from_environment(_environment_with_image("gateway"))
    assert str(gateway.contract_path) == apply
    assert "contract:/contract" in _SERVICES["apply"]["volumes"]
    assert "contract:/contract:ro" in _SERVICES["gateway"]["volumes"]


def test_the_gateway_asks_the_feature_servers_where_they_listen() -> None:
    command = stages(IMAGES["feast"])[-1].last("CMD").words
    port = command[command.index("--port") + 1]
    servers = [name for name, service in _SERVICES.items() if service["image"].startswith("streamflow/feast:")]
    servers = [name for name in servers if "command" not in _SERVICES[name]]
    assert len(servers) == 2
    urls = Settings.from_environment(_environment_with_image("gateway")).feature_server_urls
    assert urls == tuple(f"http://{name}:{port}" for name in servers)


def test_locust_asks_the_gateway_and_the_feature_servers_where_they_listen() -> None:
    locust, gateway = dict(_variables("locust")), Settings.from_environment(_environment_with_image("gateway"))
    assert locust["LOAD_GATEWAY_GRPC"] == f"gateway:{gateway.grpc_port}"
    assert locust["LOAD_GATEWAY_HTTP"] == f"http://gateway:{gateway.http_port}"
    assert tuple(locust["LOAD_FEAST_HTTP"].split(",")) == gateway.feature_server_urls
    assert locust["REDIS_URL"] == dict(_variables("materialize"))["REDIS_URL"]
    options = (CHECKOUT / "loadtests/streamflow_loadtests/load/options.py").read_text(encoding="utf-8")
    for variable in locust:
        assert variable.startswith("REDIS_") or f'env_var="{variable}"' in options
    port = stages(IMAGES["loadtests"])[-1].last("EXPOSE").text
    assert [text.rpartition(":")[2] for text in _SERVICES["locust"]["ports"]] == [port]


def test_the_jobs_are_commands_of_offline() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    asked = [
        service["command"][1] for service in _SERVICES.values() if (service.get("command") or [""])[0] == "offline"
    ]
    assert sorted(asked) == ["apply", "flow", "grant", "materialize", "sample"]
    assert set(asked) <= commands


def test_a_first_start_waits_for_the_gateway_longer_than_its_drain() -> None:
    settings = Settings.from_environment(_environment_with_image("gateway"))
    assert float(_SERVICES["gateway"]["stop_grace_period"].rstrip("s")) > (
        settings.drain_pause_s + settings.shutdown_grace_s
    )


def _has_health_check(service: dict[str, Any]) -> bool:
    if "healthcheck" in service:
        return "test" in service["healthcheck"]
    return bool(stages(_DOCKERFILES[service["build"]["dockerfile"]])[-1].all("HEALTHCHECK"))


def _variables(name: str) -> Iterator[tuple[str, str]]:
    yield from _SERVICES[name].get("environment", {}).items()


def _environment_with_image(name: str) -> dict[str, str]:
    image = stages(IMAGES[name])[-1].environment()
    return {
        variable: value
        for variable, value in {**image, **dict(_variables(name))}.items()
        if variable.startswith("GATEWAY")
    }


def _host(url: str) -> str:
    return url.rpartition("@")[2].split(":")[0]
