"""Two versions of the definitions: servers wait for their own, and those of another version keep what they read.

The manifests' commands run as local processes, on a real registry.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from manifests import CHECKOUT, Combination, Copy, Manifests
from process_fixtures import CANARY, expect_unready, node_over, wait_until_ready
from processes import Container, Node
from streamflow_features import FeatureClient
from streamflow_local import ports
from streamflow_local.waiting import wait_until

pytestmark = pytest.mark.slow

_ADDED = "rebuffer_events_7d"
_MISSING = f"feature view usage_agg_30d_fv, feature {_ADDED}: not applied, in contract.json"
_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def new(
    built: Mapping[Combination, Manifests], postgres_socket_dir: Path, redis_url: str, state_dir: Path
) -> Iterator[Node]:
    """The version of this checkout, over stores of its own."""
    with node_over(
        built["local", ()],
        state_dir / "versions",
        postgres_socket_dir=postgres_socket_dir,
        redis_url=redis_url,
        database="versions",
        redis_database=10,
    ) as made:
        yield made


@pytest.fixture(scope="module")
def old(new: Node, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """The version before, which lacks a feature: its image, and its manifests with its contract."""
    folder = tmp_path_factory.mktemp("old")
    repo = folder / "feature_repo"
    shutil.copytree(CHECKOUT / "feature_repo", repo, ignore=shutil.ignore_patterns("tests", "exporter", "__pycache__"))
    for name, removed in (("views", _line_with(repo, "views")), ("services", f', "{_ADDED}"')):
        path = repo / "streamflow_repo" / "definitions" / f"{name}.py"
        text = path.read_text(encoding="utf-8")
        assert removed in text
        path.write_text(text.replace(removed, ""), encoding="utf-8")
    command = [sys.executable, "-m", "streamflow_repo.contract"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(repo)}, timeout=_TIMEOUT_S)
    copy = Copy(folder / "copy")
    shutil.copy(repo / "contract.json", copy.contract)
    return replace(new, repo=repo, manifests=copy.build("local", ()))


def test_an_upgrade_waits_for_its_definitions_and_a_rollback_keeps_them(new: Node, old: Node) -> None:
    old.job("apply", "apply")
    with _feature_server(old) as old_server:
        old.job("materialize")
        with _ready_gateway(old, old_server) as old_gateway:
            # The upgrade: `apply` fails.
            unreachable = f"postgresql://127.0.0.1:{ports.free_port()}/streamflow"
            url = new.manifests.find("ConfigMap", "stores-definitions")["data"]["POSTGRES_URL"]
            failing = new.where(url, unreachable).container("apply", "apply")
            with failing.started() as process:
                assert process.wait(_TIMEOUT_S) == 1, failing.log

            waiting = new.container("feature-server", "definitions")
            gateway = _at(new, old_server).container("gateway")
            with waiting.started() as process, gateway.started():
                _wait_for_line(waiting, _MISSING)
                _wait_for_line(gateway, "not ready: ")
                expect_unready(gateway)
                assert process.poll() is None
                assert _answered(old_gateway) == _features(old)

                # It is applied at last.
                new.job("apply", "apply")
                assert process.wait(_TIMEOUT_S) == 0
            with _feature_server(new) as server, _ready_gateway(new, server) as new_gateway:
                assert _answered(new_gateway) == _features(new)
                assert _answered(old_gateway) == _features(old)

            # The rollback: what the new servers read stays, and the old ones start.
            assert f"kept: feature usage_agg_30d_fv:{_ADDED}" in old.job("apply", "apply").log
            for version in (new, old):
                version.job("feature-server", "definitions")


@contextmanager
def _feature_server(version: Node) -> Iterator[Container]:
    version.job("feature-server", "definitions")
    server = version.container("feature-server")
    with server.started():
        server.wait_for("startup")
        yield server


@contextmanager
def _ready_gateway(version: Node, server: Container) -> Iterator[Container]:
    gateway = _at(version, server).container("gateway")
    with gateway.started():
        wait_until_ready(gateway)
        yield gateway


def _at(version: Node, server: Container) -> Node:
    """Return the node of a version on which gateways read from a feature server."""
    return version.where("feature-server-headless:6566", server.address("http"))


def _answered(gateway: Container) -> set[str]:
    with FeatureClient(gateway.address("grpc"), timeout_s=10) as client:
        return set(client.get_user_features(CANARY))


def _features(version: Node) -> set[str]:
    contract = json.loads((version.repo / "contract.json").read_text(encoding="utf-8"))
    (service,) = [found for found in contract["feature_services"] if found["name"] == "churn_v1"]
    return {feature["name"] for feature in service["features"]}


def _wait_for_line(container: Container, text: str) -> None:
    def look() -> None:
        assert text in container.log

    wait_until(look, failing=AssertionError, timeout_s=_TIMEOUT_S, complaint=lambda: f"{container.log}\nno {text!r}")


def _line_with(repo: Path, name: str) -> str:
    lines = (repo / "streamflow_repo" / "definitions" / f"{name}.py").read_text(encoding="utf-8").splitlines(True)
    (line,) = [line for line in lines if f'"{_ADDED}"' in line]
    return line
