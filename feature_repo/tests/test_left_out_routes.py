"""A running feature server has none of Feast's routes that write, chat or describe, and all those that read."""

import warnings
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from feast.feature_server import get_app
from rows_server import Server, repository, serving
from streamflow_repo.server.reads_only import READS
from streamflow_repo.settings.feature_server import Routes, routes_of


@pytest.fixture(scope="module")
def server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("routes")
    store = repository(folder, redis_url.removeprefix("redis://"))
    store.apply([])
    with serving(store, folder) as server:
        yield server


def _feasts(server: Server) -> list[tuple[str, str]]:
    """Method and path of each route of Feast's own app."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        app = get_app(server.store)
    return [
        (method, route.path) for route in app.routes for method in getattr(route, "methods", None) or {"GET", "POST"}
    ]


def test_feasts_other_routes_are_not_there(server: Server) -> None:
    others = [(method, path) for method, path in _feasts(server) if path not in READS]
    assert {("POST", path) for path in ("/push", "/write-to-online-store", "/materialize")} <= set(others)
    assert {("POST", "/materialize-incremental"), ("GET", "/chat"), ("GET", "/docs"), ("GET", "/ws/chat")} <= set(
        others
    )
    files = [("GET", "/static/chat/index.html")]
    found = {
        asked: status
        for asked in (*others, *files)
        if (status := server.ask(*asked, b"{}", "application/json")[0]) != HTTPStatus.NOT_FOUND
    }
    assert found == {}


def test_routes_that_read_are_there(server: Server) -> None:
    reads = {(method, path) for method, path in _feasts(server) if path in READS and "{" not in path}
    assert {path for _, path in reads} == {path for path in READS if "{" not in path}
    answers = {asked: server.ask(*asked, b"[]", "application/json")[0] for asked in reads}
    assert set(answers.values()) <= {HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY}


def test_a_server_whose_registry_has_no_views_lives_and_is_not_ready(server: Server) -> None:
    assert server.ask("GET", "/health")[0] == HTTPStatus.OK
    assert server.ask("GET", "/health?store")[0] == HTTPStatus.SERVICE_UNAVAILABLE


def test_routes_are_reads_unless_told_otherwise() -> None:
    assert routes_of({}) is routes_of({"FEATURE_SERVER_ROUTES": ""}) is Routes.READS
    assert routes_of({"FEATURE_SERVER_ROUTES": "all"}) is Routes.ALL
    with pytest.raises(ValueError, match="FEATURE_SERVER_ROUTES is 'most'; set it to reads or all"):
        routes_of({"FEATURE_SERVER_ROUTES": "most"})
