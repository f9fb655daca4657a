"""Whether each process of the stack does its work."""

import json
import urllib.error
import urllib.request
from http import HTTPStatus

import psycopg
import redis
from streamflow_features import FeatureClient, FeatureServingError
from streamflow_repo.settings.redis_url import open_redis

from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout

CANARY_USER_ID = "3413-BMNZE"
"""A user of every StreamFlow data set, asked for to see whether serving works; any answer will do."""

_TIMEOUT_S = 2.0
_CANARY_FEATURE = "subs_profile_fv:months_active"


def check(name: str, config: StackConfig, layout: Layout) -> str | None:
    """Return None when a process does its work, else why it does not, in a line."""
    if name == "postgres":
        return _postgres(config.postgres_url(layout))
    if name == "valkey":
        return _redis(config.redis_url)
    if name == "gateway":
        return _gateway(config.gateway_grpc_port)
    return _feature_server(config.feature_servers()[name])


def _postgres(url: str) -> str | None:
    try:
        with psycopg.connect(url, connect_timeout=int(_TIMEOUT_S)) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return _line(error)
    return None


def _redis(url: str) -> str | None:
    try:
        with open_redis(url, timeout_s=_TIMEOUT_S) as client:
            client.ping()
    except redis.RedisError as error:
        return _line(error)
    return None


def _feature_server(port: int) -> str | None:
    """Read a feature: the server's own /health answers 200 with both of its stores gone."""
    body = {"features": [_CANARY_FEATURE], "entities": {"user_id": [CANARY_USER_ID]}}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/get-online-features",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310  # http by construction
            return None if response.status == HTTPStatus.OK else f"answered {response.status}"
    except urllib.error.HTTPError as error:
        with error:
            return f"answered {error.code}: {error.read(200).decode(errors='replace')}"
    except OSError as error:
        return _line(error)


def _gateway(port: int) -> str | None:
    # Asked whether it is ready or not: it says itself what is wrong.
    with FeatureClient(f"127.0.0.1:{port}", timeout_s=_TIMEOUT_S, follow_health=False) as client:
        try:
            client.get_user_features(CANARY_USER_ID)
        except FeatureServingError as error:
            return f"{error.code.name}: {error}"
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
