"""What the feature servers change in Feast is in effect in a running server: each change is seen at its endpoint.

Feast's own server beside it shows that each spy sees what Feast does without the change.
"""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import FeatureService, FeatureStore
from feast.infra.registry.sql import SqlRegistry
from psycopg import sql
from streamflow_local import ports, postgres
from streamflow_local.process import ProcessSpec
from streamflow_local.testing import running, wait_for_port
from streamflow_local.waiting import wait_until
from streamflow_offline.ingest.schema import create_tables
from streamflow_repo import CONTRACT_PATH
from streamflow_repo.definitions.entities import user
from streamflow_repo.definitions.services import churn_v1
from streamflow_repo.definitions.views import (
    payments_agg_90d_fv,
    subs_profile_fv,
    support_agg_90d_fv,
    usage_agg_30d_fv,
)
from streamflow_repo.settings.connections import REGISTRY_SCHEMA, feast_environment

_BOUND_S = 60
_START_S = 240
_SPIED = Path(__file__).parent / "support" / "spied_server.py"
_VIEWS = (subs_profile_fv, usage_agg_30d_fv, payments_agg_90d_fv, support_agg_90d_fv)
_REFERENCES = [f"{view.name}:{field.name}" for view in _VIEWS for field in view.features]
_USERS = [f"{number:04}-AAAAA" for number in range(5)]
_SMALL = 1e-7
_VALUES = {"Int64": 7, "Float64": _SMALL, "String": "DSL", "Bool": True}


@dataclass
class Server:
    """A running feature server."""

    url: str
    log: Path

    def read(self, **question: Any) -> str:
        """The text of a reply; for a question without features, to one about all of them."""
        asked = {"features": _REFERENCES, "entities": {"user_id": _USERS}, **question}
        body = json.dumps({name: value for name, value in asked.items() if value is not None}).encode()
        request = urllib.request.Request(  # noqa: S310  # http by construction
            f"{self.url}/get-online-features", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=_BOUND_S) as reply:  # noqa: S310  # the same
            return str(reply.read().decode())

    def spies(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/spies", timeout=_BOUND_S) as reply:  # noqa: S310  # the same
            found: dict[str, int] = json.load(reply)
            return found


@dataclass
class Servers:
    """StreamFlow's server and Feast's own, over the same stores, and what puts PostgreSQL away."""

    ours: Server
    feasts: Server
    reads_at_start: dict[str, int]
    """How many views each had read before its first request."""
    store: FeatureStore
    database: str
    admin_url: str


@pytest.fixture(scope="module")
def servers(postgres_socket_dir: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    database, folder = "served", tmp_path_factory.mktemp("served")
    postgres.create_database(postgres_socket_dir, database)
    postgres_url = postgres.url(postgres_socket_dir, database)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(REGISTRY_SCHEMA)))
        create_tables(connection)
    with ExitStack() as until, pytest.MonkeyPatch.context() as patch:
        environment = feast_environment(postgres_url=postgres_url, redis_url=redis_url, redis_timeout_s=_BOUND_S)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.delenv("FEATURE_SERVER", raising=False)
        store = FeatureStore(repo_path=str(CONTRACT_PATH.parent))
        assert isinstance(store.registry, SqlRegistry)
        until.callback(store.registry.write_engine.dispose)
        until.callback(store.registry.read_engine.dispose)
        store.apply([user, *_VIEWS, churn_v1])
        for view in _VIEWS:
            store.write_to_online_store(view.name, _rows(view))
        ours, feasts = (until.enter_context(_started(whose, folder)) for whose in ("ours", "feasts"))
        for server in (ours, feasts):
            wait_for_port(int(server.url.rpartition(":")[2]), log=server.log, timeout_s=_START_S)
        at_start = {
            whose: server.spies().get("_get_unique_entities", 0)
            for whose, server in (("ours", ours), ("feasts", feasts))
        }
        yield Servers(ours, feasts, at_start, store, database, postgres.url(postgres_socket_dir, "postgres"))


def _rows(view: Any) -> pd.DataFrame:
    now = datetime(2024, 2, 29, tzinfo=UTC)
    values = {field.name: [_VALUES[str(field.dtype)]] * len(_USERS) for field in view.features}
    return pd.DataFrame({"user_id": _USERS, **values, "as_of": now, "ingested_at": now})


def test_a_server_that_is_told_to_has_all_of_feasts_routes(servers: Servers) -> None:
    for server in (servers.ours, servers.feasts):
        for path in ("/push", "/write-to-online-store", "/materialize"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{server.url}{path}", data=b"{}", timeout=_BOUND_S)  # noqa: S310  # http by construction
            assert refused.value.code == HTTPStatus.UNPROCESSABLE_ENTITY
            refused.value.close()
        with urllib.request.urlopen(f"{server.url}/chat", timeout=_BOUND_S) as page:  # noqa: S310  # the same
            assert page.status == HTTPStatus.OK


@contextmanager
def _started(whose: str, folder: Path) -> Iterator[Server]:
    port = ports.free_port()
    log = folder / f"{whose}.log"
    options = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--registry_ttl_sec", "1")
    spec = ProcessSpec(
        name=whose,
        command=(sys.executable, str(_SPIED), whose, "serve", *options),
        environment={"PYTHONOPTIMIZE": "1", "FEATURE_SERVER_ROUTES": "all"},
        directory=CONTRACT_PATH.parent,
        port=port,
    )
    with running(spec, log=log):
        yield Server(f"http://127.0.0.1:{port}", log)


def test_a_server_has_read_before_its_first_request(servers: Servers) -> None:
    assert servers.reads_at_start == {"ours": len(_VIEWS), "feasts": 0}


def test_replies_say_the_same_as_feasts_own(servers: Servers) -> None:
    ours, feasts = (json.loads(server.read()) for server in (servers.ours, servers.feasts))
    assert _by_name(ours) == _by_name(feasts)
    assert len(_by_name(ours)) == len(_REFERENCES) + 1


def _by_name(reply: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(reply["metadata"]["feature_names"], reply["results"], strict=True))


def test_the_garbage_collector_leaves_out_what_the_start_made(servers: Servers) -> None:
    assert servers.ours.spies()["frozen"] > 100_000
    assert servers.feasts.spies()["frozen"] == 0


def test_the_registry_is_refreshed_again_after_an_outage_of_postgresql(servers: Servers) -> None:
    server = servers.ours

    def refresh_failed() -> None:
        if "registry not read" not in server.log.read_text(encoding="utf-8"):
            raise LookupError

    with _away(servers):
        wait_until(
            refresh_failed,
            failing=LookupError,
            timeout_s=_BOUND_S,
            complaint=lambda: "no refresh of the registry failed",
        )
        server.read()
    servers.store.apply([FeatureService(name="added_v1", features=[payments_agg_90d_fv])])
    wait_until(
        lambda: server.read(features=None, feature_service="added_v1"),
        failing=urllib.error.HTTPError,
        timeout_s=_BOUND_S,
        complaint=lambda: "the registry was not refreshed",
    )


@contextmanager
def _away(servers: Servers) -> Iterator[None]:
    """Break all connections to the database, and refuse new ones, for a block."""
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    name = sql.Identifier(servers.database)
    with psycopg.connect(servers.admin_url, autocommit=True) as connection:
        connection.execute(allow.format(name, sql.Literal(False)))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (servers.database,)
        )
        try:
            yield
        finally:
            connection.execute(allow.format(name, sql.Literal(True)))
