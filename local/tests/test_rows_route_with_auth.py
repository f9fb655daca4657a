"""Where Feast checks who may read, /rows/v1 is off, and the gateway gives the same answers by Feast's JSON."""

import http.client
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from any_gateway import gateway_before
from any_repo import AnyRepo, feast_serve
from cryptography.hazmat.primitives.asymmetric import rsa
from streamflow_features import FeatureClient, FeatureServingError, UserFeatures
from streamflow_repo.settings.feature_server import FeatureServer

pytestmark = pytest.mark.slow

_TIMEOUT_S = 10
_KEY_ID = "a-key"
_USERS = ("fresh", "old", "null", "old-null", "nobody", "elsewhere", "partial")
_FEATURES = ("aging_fv:score", "aging_fv:note")


class IdentityProvider:
    """Signs tokens, and tells servers of its key."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        documents: dict[str, Any] = {"/keys": {"keys": [{**public, "kid": _KEY_ID, "alg": "RS256", "use": "sig"}]}}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that http.server calls
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(documents[self.path]).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.discovery_url = f"{url}/discovery"
        documents["/discovery"] = {
            "jwks_uri": f"{url}/keys",
            "token_endpoint": f"{url}/token",
            "authorization_endpoint": f"{url}/authorize",
        }
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self) -> str:
        claims = {"preferred_username": "someone", "exp": int(time.time()) + 3600}
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": _KEY_ID})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Served:
    """Feature servers over the same store, one of which asks for tokens, each with a gateway in front."""

    with_auth: FeatureClient
    without_token: FeatureClient
    open: FeatureClient
    urls: tuple[str, str]
    """Of the server that asks for tokens, and of the other one."""


@pytest.fixture(scope="module")
def served(any_repo_on_redis: AnyRepo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, logs = tmp_path_factory.mktemp("auth"), tmp_path_factory.mktemp("logs")
    provider = IdentityProvider()
    with ExitStack() as until:
        until.callback(provider.close)
        targets, urls = [], []
        for auth in ({"type": "oidc", "auth_discovery_url": provider.discovery_url}, {"type": "no_auth"}):
            repo = folder / auth["type"]
            shutil.copytree(any_repo_on_redis.folder, repo)
            settings = json.loads((repo / "feature_store.yaml").read_text(encoding="utf-8"))
            (repo / "feature_store.yaml").write_text(json.dumps({**settings, "auth": auth}), encoding="utf-8")
            own = logs / auth["type"]
            own.mkdir()
            url = until.enter_context(feast_serve(repo, logs=own, server=FeatureServer.STREAMFLOW))
            gateway = until.enter_context(
                gateway_before(
                    url,
                    contract=any_repo_on_redis.contract,
                    logs=own,
                    GATEWAY_CANARY_AUTHORIZATION=f"Bearer {provider.token()}",
                )
            )
            targets.append(gateway.target)
            urls.append(url)

        def client(target: str, authorization: str | None = None) -> FeatureClient:
            made = FeatureClient(target, timeout_s=_TIMEOUT_S, follow_health=False, authorization=authorization)
            return until.enter_context(made)

        yield Served(
            client(targets[0], f"Bearer {provider.token()}"), client(targets[0]), client(targets[1]), (urls[0], urls[1])
        )


def _status(url: str, method: str) -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=_TIMEOUT_S)
    try:
        connection.request(method, "/rows/v1", b"" if method == "POST" else None)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_route_is_off_where_feast_asks_for_tokens_and_on_elsewhere(served: Served) -> None:
    with_auth, without = served.urls
    assert [_status(with_auth, method) for method in ("GET", "POST")] == [HTTPStatus.NOT_FOUND] * 2
    assert _status(without, "GET") == HTTPStatus.OK
    assert _status(without, "POST") == HTTPStatus.UNPROCESSABLE_ENTITY


def test_with_a_token_the_answers_are_those_of_the_route(served: Served) -> None:
    for user_id in _USERS:
        by_json, by_rows = (
            _shown(client.get_user_features(user_id, features=_FEATURES)) for client in (served.with_auth, served.open)
        )
        assert by_json == by_rows
    batches = (client.batch_get_user_features(_USERS, features=_FEATURES) for client in (served.with_auth, served.open))
    by_json, by_rows = ([_shown(one) for one in batch if isinstance(one, UserFeatures)] for batch in batches)
    assert by_json == by_rows
    assert len(by_json) == len(_USERS)


def _shown(features: UserFeatures) -> Any:
    return dict(features), dict(features.statuses), dict(features.event_timestamps), features.user_known


def test_without_a_token_nothing_is_read(served: Served) -> None:
    with pytest.raises(FeatureServingError) as raised:
        served.without_token.get_user_features("fresh", features=_FEATURES)
    assert raised.value.code.name in {"UNAUTHENTICATED", "PERMISSION_DENIED"}
