"""The feature servers' registry while PostgreSQL is away, and after."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from feast import Entity, FeatureStore, ValueType
from feast.errors import EntityNotFoundException
from feast.feature_server import get_app
from feast.infra.registry.sql import SqlRegistry
from feast.vector_store_utils import VectorStoreRegistry
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from streamflow_local.waiting import wait_until
from streamflow_repo import CONTRACT_PATH
from streamflow_repo.definitions.entities import user
from streamflow_repo.server.registry_refresh import outlast_outages
from streamflow_repo.settings.connections import REGISTRY_SCHEMA, feast_environment

_BOUND_S = 30
_TTL_S = 1


@contextmanager
def _opened() -> Iterator[FeatureStore]:
    store = FeatureStore(repo_path=str(CONTRACT_PATH.parent))
    assert isinstance(store.registry, SqlRegistry)
    try:
        yield store
    finally:
        store.registry.write_engine.dispose()
        store.registry.read_engine.dispose()


@pytest.fixture
def store(postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeatureStore]:
    """A feature server's store, whose registry has one entity."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(REGISTRY_SCHEMA)))
    for name, value in feast_environment(postgres_url=postgres_url, redis_url=redis_url).items():
        monkeypatch.setenv(name, value)
    with _opened() as store:
        store.registry.apply_entity(user, store.project)
        store.registry.refresh()
        yield store


@contextmanager
def _away(postgres_url: str) -> Iterator[None]:
    """Break all connections to a database, and refuse new ones, for a block."""
    name = conninfo_to_dict(postgres_url)["dbname"]
    admin = make_conninfo(postgres_url, dbname="postgres")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(allow.format(sql.Identifier(str(name)), sql.Literal(False)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            connection.execute(allow.format(sql.Identifier(str(name)), sql.Literal(True)))


async def test_the_registry_is_refreshed_again_after_an_outage(
    store: FeatureStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Put back after the test.
    monkeypatch.setattr(VectorStoreRegistry, "refresh", VectorStoreRegistry.refresh)
    outlast_outages()
    app = get_app(store, registry_ttl_sec=_TTL_S)

    def find(name: str) -> None:
        store.registry.get_entity(name, store.project, allow_cache=True)

    def failed() -> None:
        if "the registry can't be read, and stays as it was" not in caplog.text:
            raise LookupError

    async with app.router.lifespan_context(app):
        with _away(postgres_url):
            wait_until(failed, failing=LookupError, timeout_s=_BOUND_S, complaint=lambda: "no refresh failed")
            find(user.name)
        with _opened() as other:
            added = Entity(name="added", join_keys=["added_id"], value_type=ValueType.STRING)
            other.registry.apply_entity(added, other.project)
        wait_until(
            lambda: find("added"),
            failing=EntityNotFoundException,
            timeout_s=_BOUND_S,
            complaint=lambda: "the registry was not refreshed",
        )


def test_a_read_uses_the_registry_as_it_is_however_old(store: FeatureStore, postgres_url: str) -> None:
    registry = store.registry
    assert isinstance(registry, SqlRegistry)
    registry.cached_registry_proto_created -= timedelta(days=1)
    before = registry.cached_registry_proto
    with _away(postgres_url):
        assert registry.get_entity(user.name, store.project, allow_cache=True) == user
    assert registry.get_entity(user.name, store.project, allow_cache=True) == user
    assert registry.cached_registry_proto is before
