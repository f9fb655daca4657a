"""The manifests' own commands, variables and files start servers whose own probes succeed."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import pytest
from kubelet import ProbeError
from process_fixtures import CANARY, USERS, expect_unready, wait_until_ready
from processes import Container, Node
from streamflow_features import FeatureClient
from streamflow_local import ports
from streamflow_local.waiting import wait_until
from streamflow_offline.generate.job import generate_months

pytestmark = pytest.mark.slow


def test_apply_exports_the_contract_that_the_gateways_are_given(applied: Container) -> None:
    exported = applied.mounts["/tmp"] / "contract.json"  # noqa: S108  # the container's
    given = applied.node.manifests.find("ConfigMap", "contract")["data"]["contract.json"]
    assert json.loads(exported.read_text(encoding="utf-8")) == json.loads(given)


def test_the_template_of_ingest_loads_the_months_of_its_claim(applied: Container) -> None:
    container = applied.node.container("ingest")
    # The month that the node has.
    generate_months(container.mounts["/months"], users=USERS, months=1)
    container.run()
    assert "month_000 is loaded" in container.log


@pytest.fixture
def unnamed(materialized: Node, postgres_socket_dir: Path) -> Iterator[Node]:
    """The same node, on which each process has a user id without a name, as clusters assign them."""
    launcher = ("unshare", "--user", "--map-user=1000650000", "--map-group=0")
    if shutil.which("unshare") is None or subprocess.run([*launcher, "true"], check=False).returncode != 0:
        pytest.skip("unshare can't give a process another user id here")
    # The folder of PostgreSQL's socket is closed to others, also to root in another user namespace.
    postgres_socket_dir.chmod(0o711)
    yield replace(materialized, launcher=launcher)
    postgres_socket_dir.chmod(0o700)


def test_a_user_id_that_has_no_name_is_enough(unnamed: Node) -> None:
    unnamed.job("apply", "apply")
    unnamed.job("materialize")
    server = unnamed.container("feature-server")
    gateway = unnamed.where("feature-server-headless:6566", server.address("http")).container("gateway")
    with server.started(), gateway.started():
        wait_until_ready(server)
        wait_until_ready(gateway)


def test_training_sets_of_two_jobs_are_in_two_folders(materialized: Node) -> None:
    containers = [materialized.job("training-set", job=job) for job in ("first", "second")]
    for container, job in zip(containers, ("first", "second"), strict=True):
        (folder,) = container.mounts["/training-sets"].iterdir()
        assert folder.name == job
        assert list(folder.rglob("*.parquet"))


def test_a_feature_servers_probes_succeed(feature_server: Container) -> None:
    feature_server.wait_for("readiness")
    feature_server.probe("liveness")


def test_without_a_feature_server_a_gateway_lives_and_is_not_ready(node: Node) -> None:
    gateway = node.where("feature-server-headless:6566", f"127.0.0.1:{ports.free_port()}").container("gateway")
    with gateway.started():
        gateway.wait_for("startup")
        gateway.probe("liveness")
        with pytest.raises(ProbeError, match="503"):
            gateway.probe("readiness")


def test_calls_are_answered_and_the_audit_finds_no_difference(gateway: tuple[Container, Popen[bytes]]) -> None:
    container, _ = gateway
    container.probe("liveness")
    with FeatureClient(container.address("grpc"), timeout_s=10) as client:
        assert client.get_user_features(CANARY).user_known
    container.node.where("gateway-headless:50051", container.address("grpc")).job("audit-skew")


def test_a_gateway_that_is_told_to_end_is_unready_at_once_and_answers_through_its_pause(
    gateway: tuple[Container, Popen[bytes]],
) -> None:
    container, process = gateway
    pause_s = float(container.node.manifests.find("ConfigMap", "gateway")["data"]["GATEWAY_DRAIN_PAUSE_S"])
    with FeatureClient(container.address("grpc"), timeout_s=10, follow_health=False) as client:
        client.get_user_features(CANARY)
        process.terminate()
        told = time.monotonic()
        wait_until(
            lambda: expect_unready(container),
            failing=AssertionError,
            timeout_s=pause_s / 2,
            complaint=lambda: container.log,
        )
        while time.monotonic() < told + pause_s / 2:
            assert client.get_user_features(CANARY).user_known
        container.probe("liveness")
        assert process.wait(container.grace_s) == 0


def test_a_feature_server_that_is_told_to_end_does_so_in_time(materialized: Node) -> None:
    container = materialized.container("feature-server")
    with container.started() as process:
        container.wait_for("startup")
        process.terminate()
        assert process.wait(container.grace_s) == 0
