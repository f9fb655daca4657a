"""The local overlay's containers as local processes, over stores with passwords and a month of data."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
import redis
from kubelet import ProbeError
from manifests import Combination, Manifests
from processes import Container, Node
from streamflow_local import postgres
from streamflow_local.waiting import wait_until
from streamflow_offline.generate.job import generate_months
from streamflow_offline.ingest.job import ingest

CANARY = "3413-BMNZE"
USERS = 200
_PASSWORD = "pass:word/@"
_READY_TIMEOUT_S = 60


@contextmanager
def node_over(
    manifests: Manifests,
    folder: Path,
    *,
    postgres_socket_dir: Path,
    redis_url: str,
    database: str,
    redis_database: int = 11,
) -> Iterator[Node]:
    """Yield a node whose stores replace those that the manifests name, with a month of data in a new database.

    The user of Redis is named as the database is.
    """
    postgres.create_database(postgres_socket_dir, database)
    postgres_url = postgres.url(postgres_socket_dir, database)
    generate_months(folder / "months", users=USERS, months=1)
    ingest(folder / "months", postgres_url=postgres_url, on_progress=lambda _: None)
    urls = [manifests.find("ConfigMap", f"stores-{account}")["data"] for account in ("reader", "jobs", "definitions")]
    own_redis_url = f"{redis_url.replace('redis://', f'redis://{database}@')}/{redis_database}"
    with redis.Redis.from_url(redis_url) as client:
        client.acl_setuser(
            database, enabled=True, passwords=[f"+{_PASSWORD}"], keys=["*"], channels=["*"], categories=["+@all"]
        )
        yield Node(
            folder=folder,
            manifests=manifests,
            stand_ins={
                **{data["POSTGRES_URL"]: postgres_url for data in urls},
                **{data["REDIS_URL"]: own_redis_url for data in urls},
            },
            secrets={"postgres_password": _PASSWORD, "redis_password": _PASSWORD},
        )
        client.acl_deluser(database)


def wait_until_ready(container: Container) -> None:
    """Return once a container has started and is ready; raise TimeoutError with its log."""
    container.wait_for("startup")
    wait_until(
        lambda: container.probe("readiness"),
        failing=ProbeError,
        timeout_s=_READY_TIMEOUT_S,
        complaint=lambda: f"{container.log[-3000:]}\nnot ready",
    )


def expect_unready(container: Container) -> None:
    """Raise AssertionError if a container is ready."""
    try:
        container.probe("readiness")
    except ProbeError:
        return
    raise AssertionError("the container is ready")


@pytest.fixture(scope="session")
def node(
    built: Mapping[Combination, Manifests], postgres_socket_dir: Path, redis_url: str, state_dir: Path
) -> Iterator[Node]:
    """A node for containers of the local overlay."""
    with node_over(
        built["local", ()],
        state_dir / "kubernetes",
        postgres_socket_dir=postgres_socket_dir,
        redis_url=redis_url,
        database="kubernetes",
    ) as made:
        yield made


@pytest.fixture(scope="session")
def applied(node: Node) -> Container:
    """The container that applied the definitions."""
    return node.job("apply", "apply")


@pytest.fixture(scope="session")
def feature_server(applied: Container) -> Iterator[Container]:
    applied.node.job("feature-server", "definitions")
    container = applied.node.container("feature-server")
    with container.started():
        container.wait_for("startup")
        yield container


@pytest.fixture(scope="session")
def materialized(feature_server: Container) -> Node:
    """The node with features in Redis, on which the feature servers' name leads to a feature server."""
    feature_server.node.job("materialize")
    return feature_server.node.where("feature-server-headless:6566", feature_server.address("http"))


@pytest.fixture
def gateway(materialized: Node) -> Iterator[tuple[Container, Popen[bytes]]]:
    container = materialized.container("gateway")
    with container.started() as process:
        wait_until_ready(container)
        yield container, process
