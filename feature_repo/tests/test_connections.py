"""Two URLs become the environment of feature_store.yaml, whatever their passwords hold."""

import os
import socketserver
import threading
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
import yaml
from feast.infra.online_stores.redis import RedisOnlineStore
from sqlalchemy.engine import make_url
from streamflow_repo.settings.connections import ConnectionUrlError, feast_environment, urls_from_environment
from streamflow_repo.settings.redis_url import open_redis
from streamflow_repo.settings.secrets import without_password

_FEATURE_STORE = Path(__file__).resolve().parents[1] / "feature_store.yaml"
_POSTGRES = "postgresql://feast@db/streamflow"
_REDIS = "redis://cache"
# Everything that YAML, URLs, shells or Feast's variables could trip over.
_HARD = "p'a\"s\\s$HOME %41 @:/?#[]{}\u00e9\u540d"


def _settings(monkeypatch: pytest.MonkeyPatch, *, postgres_url: str = _POSTGRES, redis_url: str = _REDIS) -> Any:
    for name, value in feast_environment(postgres_url=postgres_url, redis_url=redis_url).items():
        monkeypatch.setenv(name, value)
    return yaml.safe_load(os.path.expandvars(_FEATURE_STORE.read_text(encoding="utf-8")))


def _redis_parameters(settings: Any) -> tuple[Any, dict[str, Any]]:
    nodes, parameters = RedisOnlineStore._parse_connection_string(settings["online_store"]["connection_string"])
    return nodes, parameters


def test_a_url_over_tcp_reaches_offline_store_and_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(
        monkeypatch, postgres_url=f"postgresql://feast:{quote(_HARD, safe='')}@db:5433/streamflow?sslmode=require"
    )
    offline = settings["offline_store"]
    assert {name: offline[name] for name in ("host", "port", "database", "user", "password", "sslmode")} == {
        "host": "db",
        "port": "5433",
        "database": "streamflow",
        "user": "feast",
        "password": _HARD,
        "sslmode": "require",
    }
    registry = make_url(settings["registry"]["path"])
    assert (registry.host, registry.port, registry.database) == ("db", 5433, "streamflow")
    assert (registry.username, registry.password) == ("feast", _HARD)
    assert registry.query["options"] == "-csearch_path=feast"
    assert registry.query["sslmode"] == "require"


def test_a_url_over_a_socket_names_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, postgres_url="postgresql://postgres@/streamflow?host=/run/pg")
    assert settings["offline_store"]["host"] == "/run/pg"
    assert settings["offline_store"]["password"] == ""
    assert make_url(settings["registry"]["path"]).query["host"] == "/run/pg"


def test_certificates_of_the_url_reach_offline_store_and_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{_POSTGRES}?sslmode=verify-full&sslrootcert=/etc/ca.pem"
    settings = _settings(monkeypatch, postgres_url=url)
    offline = settings["offline_store"]
    assert (offline["sslmode"], offline["sslrootcert_path"]) == ("verify-full", "/etc/ca.pem")
    assert (offline["sslcert_path"], offline["sslkey_path"]) == (None, None)
    assert make_url(settings["registry"]["path"]).query["sslrootcert"] == "/etc/ca.pem"


@pytest.mark.parametrize("password", [_HARD, "12e45", "true", "null", "a=b", "1234"])
def test_a_redis_password_stays_what_it_is(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    url = f"rediss://feast:{quote(password, safe='')}@cache:6390/2"
    nodes, parameters = _redis_parameters(_settings(monkeypatch, redis_url=url))
    assert nodes == [{"host": "cache", "port": "6390"}]
    assert parameters == {
        "socket_timeout": 0.25,
        "socket_connect_timeout": 0.25,
        "db": 2,
        "ssl": True,
        "username": "feast",
        "password": password,
        "retry": None,
    }


def test_redis_reads_have_timeouts_and_no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, parameters = _redis_parameters(_settings(monkeypatch))
    assert nodes == [{"host": "cache", "port": "6379"}]
    assert parameters == {"socket_timeout": 0.25, "socket_connect_timeout": 0.25, "retry": None}


def test_a_cluster_is_named_by_some_of_its_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, redis_url="rediss-cluster://feast:p%40ss@a:7000,b,c:7002")
    nodes, parameters = _redis_parameters(settings)
    assert settings["online_store"]["redis_type"] == "redis_cluster"
    assert nodes == [{"host": "a", "port": "7000"}, {"host": "b", "port": "6379"}, {"host": "c", "port": "7002"}]
    assert parameters == {
        "socket_timeout": 0.25,
        "socket_connect_timeout": 0.25,
        "ssl": True,
        "username": "feast",
        "password": "p@ss",
    }


def test_one_redis_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _settings(monkeypatch)["online_store"]["redis_type"] == "redis"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://db/x", "not a PostgreSQL URL"),
        ("db", "not a PostgreSQL URL"),
        ("postgresql://feast@db", "names no database"),
        ("postgresql://db/streamflow", "names no user"),
        ("postgresql://feast@/streamflow", "names no host"),
        ("postgresql://feast@a,b/streamflow", "several hosts"),
        ("postgresql://feast@db:x/streamflow", "a port that is not a number from 1 to 65535"),
        ("postgresql://feast@db:65536/streamflow", "a port that is not a number from 1 to 65535"),
        ("postgresql://feast:a@b@db/streamflow", "an @ or a slash in user name or password; write %40 or %2F"),
        ("postgresql://feast:1/b@db/streamflow", "an @ or a slash in user name or password; write %40 or %2F"),
        ("postgresql://feast:a%zz@db/streamflow", "not a PostgreSQL URL"),
        ("postgresql://feast:a%ff@db/streamflow", "not a PostgreSQL URL"),
        ("postgresql://feast:a\nb@db/streamflow", "a character that can't be printed"),
        ("postgresql://feast@db/streamflow?options=-cx", "would not get: options"),
    ],
)
def test_a_postgres_url_that_feast_cannot_use_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConnectionUrlError, match=message) as raised:
        feast_environment(postgres_url=url, redis_url=_REDIS)
    assert "POSTGRES_URL" in str(raised.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("cache:6379", "not a Redis URL"),
        ("http://cache", "not a Redis URL"),
        ("redis://", "not a Redis URL"),
        ("redis://[::1]:6379", "IPv6"),
        ("redis://cache/x", "a database that is not a number"),
        ("redis://:a\nb@cache", "a character that can't be printed"),
        ("redis://a:1#b@cache", r"a \? or a #"),
        ("redis://:a%2Cb@cache", "a password with a comma"),
        ("redis://cache?ssl_ca_certs=/x", "Feast would not get its parameters"),
        ("redis://cache:99999", "a port that is not a number from 0 to 65535"),
        ("redis://a,b", "several hosts"),
        ("redis-cluster://a,", "not a Redis URL"),
        ("redis-cluster://a:x,b", "a port that is not a number from 0 to 65535"),
        ("redis-cluster://a/2", "a database other than 0, and a Redis Cluster has 0 only"),
    ],
)
def test_a_redis_url_that_feast_cannot_use_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConnectionUrlError, match=message) as raised:
        feast_environment(postgres_url=_POSTGRES, redis_url=url)
    assert "REDIS_URL" in str(raised.value)


@pytest.mark.parametrize(
    ("postgres_url", "redis_url"),
    [
        ("postgresql://feast:secret@db:x/streamflow", _REDIS),
        ("feast:secret@db/streamflow", _REDIS),
        ("postgresql://feast:secret%@db/streamflow", _REDIS),
        (_POSTGRES, "redis://:secret@cache:x"),
        (_POSTGRES, "redis://:secret,@cache"),
        (_POSTGRES, "redis-cluster://:secret@a,b:x"),
        (_POSTGRES, "redis://:secret@a,b"),
    ],
)
def test_no_password_is_in_a_refusal(postgres_url: str, redis_url: str) -> None:
    with pytest.raises(ConnectionUrlError) as raised:
        feast_environment(postgres_url=postgres_url, redis_url=redis_url)
    assert "secret" not in str(raised.value)


def test_missing_urls_are_named_with_what_sets_them() -> None:
    assert urls_from_environment({"POSTGRES_URL": _POSTGRES, "REDIS_URL": _REDIS}) == (_POSTGRES, _REDIS)
    with pytest.raises(ConnectionUrlError, match=r"REDIS_URL must be set; .*\.local/env"):
        urls_from_environment({"POSTGRES_URL": "a"})
    with pytest.raises(ConnectionUrlError, match="POSTGRES_URL and REDIS_URL"):
        urls_from_environment({})


def test_a_password_that_redis_repeats_is_not_told() -> None:
    class Repeating(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"-ERR unknown command 'AUTH', with args beginning with: 'feast' 's3cret'\r\n")
            self.rfile.read()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Repeating) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = open_redis(f"redis://feast:s3cret@127.0.0.1:{server.server_address[1]}", timeout_s=5)
        with client, pytest.raises(redis.RedisError, match=r"beginning with: 'feast' '\*\*\*'") as raised:
            client.ping()
        server.shutdown()
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://feast:a:?#b@db:1/x?sslmode=require", "postgresql://feast:***@db:1/x?sslmode=require"),
        (
            "postgresql://feast@db/x?password=a%40b&sslmode=require",
            "postgresql://feast@db/x?password=***&sslmode=require",
        ),
        ("postgresql://postgres@/streamflow?host=/run/a:b", "postgresql://postgres@/streamflow?host=/run/a:b"),
        ("redis://:a@b@cache:1/2", "redis://:***@cache:1/2"),
        ("redis-cluster://feast:a,b@a:1,b:2", "redis-cluster://feast:***@a:1,b:2"),
        ("redis://127.0.0.1:6380", "redis://127.0.0.1:6380"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
