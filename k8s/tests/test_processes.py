"""The manifests' own commands, variables and files start servers whose own probes succeed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest
import redis
from kubelet import ProbeError
from manifests import Combination, Manifests
from processes import Container, Node
from streamflow_features import FeatureClient
from streamflow_local import ports, postgres
from streamflow_local.waiting import wait_until
from streamflow_offline.generate import generate_months
from streamflow_offline.ingest import ingest

pytestmark = pytest.mark.slow

_CANARY = "3413-BMNZE"
_PASSWORD = "pass:word/@"
_READY_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def node(
    built: dict[Combination, Manifests], postgres_socket_dir: Path, redis_url: str, state_dir: Path
) -> Iterator[Node]:
    """A node whose stores have passwords and a month of data, and replace those that the manifests name."""
    postgres.create_database(postgres_socket_dir, "kubernetes")
    postgres_url = postgres.url(postgres_socket_dir, "kubernetes")
    months = state_dir / "kubernetes" / "months"
    generate_months(months, users=200, months=1)
    ingest(months, postgres_url=postgres_url, on_progress=lambda _: None)
    manifests = built["local", ()]
    urls = manifests.find("ConfigMap", "stores")["data"]
    with redis.Redis.from_url(redis_url) as client:
        client.acl_setuser(
            "kubernetes", enabled=True, passwords=[f"+{_PASSWORD}"], keys=["*"], channels=["*"], categories=["+@all"]
        )
        yield Node(
            folder=state_dir / "kubernetes",
            manifests=manifests,
            stand_ins={
                urls["POSTGRES_URL"]: postgres_url,
                urls["REDIS_URL"]: f"{redis_url.replace('redis://', 'redis://kubernetes@')}/11",
            },
            secrets={"postgres_password": _PASSWORD, "redis_password": _PASSWORD},
        )
        client.acl_deluser("kubernetes")


@pytest.fixture(scope="module")
def applied(node: Node) -> Container:
    """The container that applied the definitions."""
    return node.job("apply")


@pytest.fixture(scope="module")
def feature_server(applied: Container) -> Iterator[Container]:
    container = applied.node.container("feature-server")
    with container.started():
        container.wait_for("startup")
        yield container


@pytest.fixture(scope="module")
def materialized(feature_server: Container) -> Node:
    """The node with features in Redis, on which the feature servers' name leads to a feature server."""
    feature_server.node.job("materialize")
    return feature_server.node.where("feature-server-headless:6566", feature_server.address("http"))


@pytest.fixture
def gateway(materialized: Node) -> Iterator[tuple[Container, Popen[bytes]]]:
    container = materialized.container("gateway")
    with container.started() as process:
        container.wait_for("startup")
        wait_until(
            lambda: container.probe("readiness"),
            failing=ProbeError,
            timeout_s=_READY_TIMEOUT_S,
            complaint=lambda: container.log,
        )
        yield container, process


def test_apply_exports_the_contract_that_the_gateways_are_given(applied: Container) -> None:
    exported = applied.mounts["/tmp"] / "contract.json"  # noqa: S108  # the container's
    given = applied.node.manifests.find("ConfigMap", "contract")["data"]["contract.json"]
    assert json.loads(exported.read_text(encoding="utf-8")) == json.loads(given)


def test_a_feature_servers_probes_succeed(feature_server: Container) -> None:
    feature_server.wait_for("readiness")
    feature_server.probe("liveness")


def test_without_a_feature_server_a_gateway_lives_and_is_not_ready(node: Node) -> None:
    gateway = node.where("feature-server-headless:6566", f"127.0.0.1:{ports.free_port()}").container("gateway")
    with gateway.started():
        gateway.wait_for("startup")
        gateway.probe("liveness")
        with pytest.raises(ProbeError, match="NOT_SERVING"):
            gateway.probe("readiness")


def test_calls_are_answered_and_the_audit_finds_no_difference(gateway: tuple[Container, Popen[bytes]]) -> None:
    container, _ = gateway
    container.probe("liveness")
    with FeatureClient(container.address("grpc"), timeout_s=10) as client:
        assert client.get_user_features(_CANARY).user_known
    container.node.where("gateway-headless:50051", container.address("grpc")).job("audit-skew")


def test_a_gateway_that_is_told_to_end_is_unready_at_once_and_answers_through_its_pause(
    gateway: tuple[Container, Popen[bytes]],
) -> None:
    container, process = gateway
    pause_s = float(container.node.manifests.find("ConfigMap", "gateway")["data"]["GATEWAY_DRAIN_PAUSE_S"])
    with FeatureClient(container.address("grpc"), timeout_s=10, follow_health=False) as client:
        client.get_user_features(_CANARY)
        process.terminate()
        told = time.monotonic()
        wait_until(
            lambda: _expect_unready(container),
            failing=AssertionError,
            timeout_s=pause_s / 2,
            complaint=lambda: container.log,
        )
        while time.monotonic() < told + pause_s / 2:
            assert client.get_user_features(_CANARY).user_known
        container.probe("liveness")
        assert process.wait(container.grace_s) == 0


def test_a_feature_server_that_is_told_to_end_does_so_in_time(materialized: Node) -> None:
    container = materialized.container("feature-server")
    with container.started() as process:
        container.wait_for("startup")
        process.terminate()
        assert process.wait(container.grace_s) == 0


def _expect_unready(gateway: Container) -> None:
    with pytest.raises(ProbeError, match="NOT_SERVING"):
        gateway.probe("readiness")
