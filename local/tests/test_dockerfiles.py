"""The Dockerfiles meet a platform team's requirements for images."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from dockerfile import IMAGES, Stage, stages
from feature_gateway.settings import Settings
from stack_under_test import BIN, CHECKOUT
from streamflow_local.stack import feature_server
from streamflow_logs import Format, LogSettings

_PATHS = pytest.mark.parametrize("path", IMAGES.values(), ids=IMAGES)
_BASE = "docker.io/library/python:3.12-slim-bookworm"


@_PATHS
def test_hadolint_finds_nothing(path: Path) -> None:
    result = subprocess.run([BIN / "hadolint", path], check=False, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


@_PATHS
def test_the_base_image_is_an_argument_and_the_same_in_every_stage(path: Path) -> None:
    assert f"ARG BASE_IMAGE={_BASE}\n" in path.read_text(encoding="utf-8").split("FROM")[0]
    images = [stage.last("FROM").text.split()[0] for stage in stages(path)]
    assert images == ["${BASE_IMAGE}", "${BASE_IMAGE}"]


@_PATHS
def test_what_builds_stays_in_the_first_stage(path: Path) -> None:
    build, final = stages(path)
    assert final.all("COPY") == ["--from=build /app /app"]
    assert not re.search(r"\b(uv|pip|apt-get|gcc)\b", " ".join(final.all("RUN")))
    assert "PIP_INDEX_URL=https://pypi.org/simple" in build.all("ARG")
    assert not [text for text in [*final.all("ARG"), *final.all("ENV")] if "INDEX" in text]


@_PATHS
def test_uv_is_the_checkouts_and_goes_by_its_lock(path: Path) -> None:
    build, _ = stages(path)
    pinned = (CHECKOUT / "requirements-uv.txt").read_text(encoding="utf-8")
    assert re.search(r"^uv==\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+$", pinned, re.MULTILINE)
    installed = "--require-hashes --requirement requirements-uv.txt"
    assert f"pip install --no-cache-dir {installed}" in " ".join(build.all("RUN"))
    assert installed in (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    members = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["workspace"][
        "members"
    ]
    copied = build.all("COPY")
    assert "pyproject.toml uv.lock ./" in copied
    assert {f"{member}/pyproject.toml {member}/" for member in members} <= set(copied)
    runs = " ".join(build.all("RUN"))
    assert "--format cyclonedx1.5 --preview-features sbom-export --output-file /app/sbom.cdx.json" in runs
    assert "uv export --quiet --frozen --no-dev --no-emit-workspace" in runs
    assert "uv pip install --require-hashes --requirements requirements.txt" in runs


@_PATHS
def test_the_user_is_a_number_and_not_root(path: Path) -> None:
    user = stages(path)[-1].last("USER").text
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@_PATHS
def test_nothing_is_written_to_the_root_file_system(path: Path) -> None:
    environment = stages(path)[-1].environment()
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["HOME"] == "/tmp"  # noqa: S108  # a container's own, the one place that is writable


@pytest.mark.parametrize("image", ["gateway", "feast"])
def test_containers_log_json_lines(image: str) -> None:
    environment = stages(IMAGES[image])[-1].environment()
    assert LogSettings.from_environment(environment).format is Format.JSON


@_PATHS
def test_the_labels_say_what_the_image_is(path: Path) -> None:
    labels = " ".join(stages(path)[-1].all("LABEL"))
    for name in ("title", "description", "vendor", "licenses", "version", "revision", "base.name"):
        assert f"org.opencontainers.image.{name}=" in labels


@_PATHS
def test_command_and_health_check_run_without_a_shell(path: Path) -> None:
    final = stages(path)[-1]
    assert final.last("CMD").words
    assert final.last("HEALTHCHECK").words[0] == "python"


def _copied(build: Stage) -> set[str]:
    """What a stage copies besides what says which packages to install."""
    return {text for text in build.all("COPY") if "pyproject" not in text and "requirements-uv" not in text}


def test_the_gateways_image_has_no_feast() -> None:
    build, _ = stages(IMAGES["gateway"])
    assert "--package feature-gateway" in " ".join(build.all("RUN"))
    assert _copied(build) == {"logs logs", "protos protos", "gateway gateway"}


def test_locusts_image_has_no_feast() -> None:
    build, final = stages(IMAGES["loadtests"])
    assert "--package streamflow-loadtests --output-file" in " ".join(build.all("RUN"))
    assert _copied(build) == {
        "protos protos",
        "offline offline",
        "loadtests loadtests",
    }
    assert "--no-deps ./protos ./offline ./loadtests" in " ".join(build.all("RUN"))
    project = tomllib.loads((CHECKOUT / "loadtests/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any("feast" in requirement for requirement in project["optional-dependencies"]["bench"])
    ours = [requirement for requirement in project["dependencies"] if "streamflow" in requirement]
    assert ours == ["streamflow-features-protos"]
    assert not [requirement for requirement in project["dependencies"] if "feast" in requirement]
    assert final.last("CMD").words[0] in project["scripts"]
    assert f"127.0.0.1:{final.last('EXPOSE').text}/" in final.last("HEALTHCHECK").words[-1]


def test_the_gateways_image_has_settings_that_exist_and_the_ports_of_the_defaults() -> None:
    final = stages(IMAGES["gateway"])[-1]
    settings = Settings.from_environment(
        {name: value for name, value in final.environment().items() if name.startswith("GATEWAY_")}
    )
    assert settings.bind_address == "0.0.0.0"  # noqa: S104  # compose publishes only on loopback
    assert final.last("EXPOSE").text == f"{settings.grpc_port} {settings.http_port} {settings.admin_port}"
    assert f"127.0.0.1:{settings.admin_port}/ready" in final.last("HEALTHCHECK").words[-1]


def test_the_feature_server_runs_as_in_the_local_stack() -> None:
    words = stages(IMAGES["feast"])[-1].last("CMD").words
    local = feature_server(6566)
    flags = list(local.command[local.command.index("serve") :])
    flags[flags.index("127.0.0.1")] = "0.0.0.0"  # noqa: S104  # the same
    assert words[words.index("serve") :] == flags
    # -O is PYTHONOPTIMIZE=1.
    assert words[3:7] == ["python", "-O", "-m", "streamflow_repo.server"]
    assert local.environment == {"FEATURE_SERVER": "streamflow", "PYTHONOPTIMIZE": "1"}


def test_only_what_is_named_gets_into_a_build() -> None:
    rules = [
        line
        for line in (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    assert not [rule for rule in rules if rule.startswith("!.")]
    # Rules after the last "!" exclude files again.
    assert {"**/tests", "**/__pycache__"} <= set(rules[max(i for i, rule in enumerate(rules) if rule[0] == "!") :])
