"""A feature server reads the registry that it has while PostgreSQL is away."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from feast import FeatureStore
from feast.infra.registry.sql import SqlRegistry
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from streamflow_repo import CONTRACT_PATH
from streamflow_repo.definitions.entities import user
from streamflow_repo.settings.connections import REGISTRY_SCHEMA, feast_environment


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


def test_a_read_uses_the_registry_as_it_is_however_old(store: FeatureStore, postgres_url: str) -> None:
    registry = store.registry
    assert isinstance(registry, SqlRegistry)
    registry.cached_registry_proto_created -= timedelta(days=1)
    before = registry.cached_registry_proto
    with _away(postgres_url):
        assert registry.get_entity(user.name, store.project, allow_cache=True) == user
    assert registry.get_entity(user.name, store.project, allow_cache=True) == user
    assert registry.cached_registry_proto is before
