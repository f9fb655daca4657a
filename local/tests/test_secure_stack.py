"""`make up SECURE=1`: the gateway answers over TLS, and those alone who have the token."""

import ssl
import subprocess
import urllib.error
import urllib.request

import pytest
import redis
from stack_under_test import CANARY, CHECKOUT, Stack
from streamflow_features import FeatureClient, FeatureServingError
from streamflow_local.secure import client_options
from told import told

pytestmark = pytest.mark.slow

_TIMEOUT_S = 240


def test_a_second_up_does_nothing_and_every_process_is_healthy(secure_stack: Stack) -> None:
    assert "already up; nothing to do" in secure_stack.local("up", "--secure").stdout
    assert secure_stack.status().healthy
    refused = secure_stack.local("up")
    assert "a stack is running with another secure" in refused.stderr


def test_without_the_token_or_without_tls_nothing_is_answered(secure_stack: Stack) -> None:
    options = client_options(secure_stack.config_as_started, secure_stack.layout)
    with FeatureClient(secure_stack.gateway, timeout_s=10, **options) as client:
        assert client.get_user_features(CANARY).user_known
    ca_file = options["ca_file"]
    for given, code in (
        ({"ca_file": ca_file}, "UNAUTHENTICATED"),
        ({"ca_file": ca_file, "token": "wrong"}, "UNAUTHENTICATED"),
        ({}, "UNAVAILABLE"),
        ({"tls": True}, "UNAVAILABLE"),
    ):
        with (
            FeatureClient(secure_stack.gateway, timeout_s=3, follow_health=False, **given) as client,
            pytest.raises(FeatureServingError) as refused,
        ):
            client.get_user_features(CANARY)
        assert refused.value.code.name in {code, "DEADLINE_EXCEEDED"} if code == "UNAVAILABLE" else {code}, given


def test_http_is_tls_and_asks_for_the_token_too(secure_stack: Stack) -> None:
    url = f"https://127.0.0.1:{secure_stack.config.gateway_http_port}/features/{CANARY}"
    trusted = ssl.create_default_context(cafile=secure_stack.layout.ca_file)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=10, context=trusted)
    assert refused.value.code == 401
    refused.value.close()
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(url, timeout=10)


@pytest.mark.parametrize(
    "command",
    [
        "training-set",
        "audit ARGS='--users 50'",
        "load ARGS='--rate 20 --run-time 2 --most 20 --max-p99-ms 60000 --timeout-ms 10000'",
    ],
)
def test_what_make_runs_on_a_stack_works(secure_stack: Stack, command: str) -> None:
    result = subprocess.run(
        ["bash", "-c", f"make {command}"],
        cwd=CHECKOUT,
        env=secure_stack.environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_watch_has_the_gateways_figures_over_tls(secure_stack: Stack) -> None:
    watched = secure_stack.local("watch", "--once")
    assert watched.returncode == 0, watched.stderr
    assert "calls a second" in watched.stdout
    assert "no figures" not in watched.stdout


def test_valkey_lets_nobody_in_without_a_password(secure_stack: Stack) -> None:
    with (
        redis.Redis(port=secure_stack.config.redis_port) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_nothing_that_a_stack_shows_tells_a_secret(secure_stack: Stack) -> None:
    layout = secure_stack.layout
    secrets = [path.read_text(encoding="utf-8").strip() for path in layout.secrets.iterdir() if path.is_file()]
    assert len(secrets) == 4
    assert told(secure_stack, secrets) == []
