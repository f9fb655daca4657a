"""The embedded servers start, serve and stop."""

import psycopg
import redis


def test_postgres_serves_an_empty_database(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row == (0,)


def test_valkey_keeps_what_is_written(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("streamflow:test", "1")
        assert client.getdel("streamflow:test") == b"1"
