"""`any_repo` on each of the online stores: applied, filled and served once in a test run.

A `conftest.py` imports the fixtures that its tests take.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from any_repo import (
    AnyRepo,
    apply_repo,
    export_contract,
    feast_serve,
    fill,
    make_repo,
    postgres_store,
    redis_store,
    sqlite_store,
)
from streamflow_local import postgres

_REDIS_DATABASE = 11
"""A database of the tests' Valkey that nothing else uses."""


@pytest.fixture(scope="session")
def any_repo_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> AnyRepo:
    return _applied("sqlite", tmp_path_factory, sqlite_store())


@pytest.fixture(scope="session")
def any_repo_on_redis(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> AnyRepo:
    return _applied("redis", tmp_path_factory, redis_store(redis_url, database=_REDIS_DATABASE))


@pytest.fixture(scope="session")
def any_repo_on_postgres(tmp_path_factory: pytest.TempPathFactory, postgres_socket_dir: Path) -> Iterator[AnyRepo]:
    postgres.create_database(postgres_socket_dir, "any_repo")
    repo = _applied("postgres", tmp_path_factory, postgres_store(postgres.url(postgres_socket_dir, "any_repo")))
    yield repo
    # Feast leaves its connection to the garbage collector.
    online_store: Any = repo.store._get_provider().online_store
    online_store._conn.close()


@pytest.fixture(scope="session")
def feast_serve_on_sqlite(any_repo_on_sqlite: AnyRepo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of Feast's own feature server on the repository."""
    with feast_serve(any_repo_on_sqlite.folder, logs=tmp_path_factory.mktemp("logs")) as url:
        yield url


@pytest.fixture(scope="session")
def feast_serve_on_redis(any_repo_on_redis: AnyRepo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of Feast's own feature server on the repository."""
    with feast_serve(any_repo_on_redis.folder, logs=tmp_path_factory.mktemp("logs")) as url:
        yield url


@pytest.fixture(scope="session")
def feast_serve_on_postgres(any_repo_on_postgres: AnyRepo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of Feast's own feature server on the repository."""
    with feast_serve(any_repo_on_postgres.folder, logs=tmp_path_factory.mktemp("logs")) as url:
        yield url


def _applied(online_store: str, tmp_path_factory: pytest.TempPathFactory, settings: Mapping[str, object]) -> AnyRepo:
    folder = make_repo(tmp_path_factory.mktemp("any") / "repo", online_store=settings)
    store = apply_repo(folder)
    export_contract(folder)
    fill(store)
    return AnyRepo(online_store, folder, store)
