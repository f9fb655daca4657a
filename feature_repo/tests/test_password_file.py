"""A URL without a password gets it from a file, as a mounted secret."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from streamflow_repo.settings.connections import ConnectionUrlError, urls_from_environment
from streamflow_repo.settings.redis_url import parse_redis_url

_POSTGRES = "postgresql://feast@db:5433/streamflow?sslmode=require"
_REDIS = "redis://cache/2"
_HARD = "p'a\"s\\s$HOME %41 @:/?#[]{}\u00e9\u540d"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{_HARD}\n", encoding="utf-8")
    return path


def test_each_url_gets_the_password_of_its_file(file: Path) -> None:
    postgres_url, redis_url = urls_from_environment(
        {
            "POSTGRES_URL": _POSTGRES,
            "REDIS_URL": _REDIS,
            "POSTGRES_PASSWORD_FILE": str(file),
            "REDIS_PASSWORD_FILE": str(file),
        }
    )
    assert conninfo_to_dict(postgres_url) == {
        "host": "db",
        "port": "5433",
        "user": "feast",
        "password": _HARD,
        "dbname": "streamflow",
        "sslmode": "require",
    }
    address = parse_redis_url(redis_url)
    assert (list(address.nodes), address.username, address.password) == ([("cache", 6379)], None, _HARD)
    assert address.database == 2


def test_a_url_over_a_socket_gets_it_too(file: Path) -> None:
    url = "postgresql://postgres@/streamflow?host=/run/pg"
    got, _ = urls_from_environment({"POSTGRES_URL": url, "REDIS_URL": _REDIS, "POSTGRES_PASSWORD_FILE": str(file)})
    parts = conninfo_to_dict(got)
    assert (parts["host"], parts["password"]) == ("/run/pg", _HARD)


def test_without_a_file_a_url_stays_as_it_is() -> None:
    environment = {"POSTGRES_URL": _POSTGRES, "REDIS_URL": _REDIS, "REDIS_PASSWORD_FILE": ""}
    assert urls_from_environment(environment) == (_POSTGRES, _REDIS)


@pytest.mark.parametrize(
    ("url", "content", "message"),
    [
        ("postgresql://feast:own@db/streamflow", b"secret", "has a password, and POSTGRES_PASSWORD_FILE is set too"),
        (_POSTGRES, b"\n", "which is empty"),
        (_POSTGRES, b"secret\xff", "not UTF-8"),
        (_POSTGRES, None, "can't be read: No such file"),
        ("postgresql://[::1/streamflow", b"secret", "POSTGRES_URL is not a URL"),
    ],
)
def test_what_cannot_be_used_is_refused_without_the_password(
    tmp_path: Path, url: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConnectionUrlError, match=message) as raised:
        urls_from_environment({"POSTGRES_URL": url, "REDIS_URL": _REDIS, "POSTGRES_PASSWORD_FILE": str(path)})
    assert "secret" not in str(raised.value)
    assert "own" not in str(raised.value).replace("of its own", "")
