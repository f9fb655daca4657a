"""Settings are read strictly."""

from pathlib import Path

import pytest
from feature_gateway.environment import SettingsError
from feature_gateway.settings import Settings
from feature_gateway.upstream.resolver import DNS_SCHEMES, needs_resolving


def test_the_defaults_are_the_fixed_ports() -> None:
    settings = Settings.from_environment({"PATH": "/bin"})
    assert (settings.grpc_port, settings.http_port, settings.bind_address) == (50051, 8000, "127.0.0.1")
    assert settings.feature_server_urls == ("http://127.0.0.1:6566",)


def test_every_setting_is_read_from_its_variable() -> None:
    settings = Settings.from_environment(
        {
            "GATEWAY_BIND_ADDRESS": "0.0.0.0",  # noqa: S104  # a setting, not a socket
            "GATEWAY_GRPC_PORT": "1",
            "GATEWAY_GRPC_ENGINE": "native",
            "GATEWAY_HTTP_PORT": "2",
            "GATEWAY_FEATURE_SERVER_URLS": "http://feast-0:6566/, https://feast-1",
            "GATEWAY_DNS_INTERVAL_S": "9",
            "GATEWAY_CONTRACT_PATH": "/etc/contract.json",
            "GATEWAY_DEFAULT_FEATURE_SERVICE": "engagement_v1",
            "GATEWAY_DEFAULT_TIMEOUT_S": "0.5",
            "GATEWAY_MAX_TIMEOUT_S": "20",
            "GATEWAY_DEADLINE_MARGIN_S": "0",
            "GATEWAY_MAX_USER_ID_BYTES": "64",
            "GATEWAY_MAX_READ_USERS": "128",
            "GATEWAY_MAX_BATCH_USERS": "10",
            "GATEWAY_MAX_STREAM_IN_FLIGHT": "20",
            "GATEWAY_MAX_QUEUED_CALLS": "7",
            "GATEWAY_READS_PER_FEATURE_SERVER": "2",
            "GATEWAY_HEDGE": "true",
            "GATEWAY_STALE_IF_DOWN_S": "300",
            "GATEWAY_STALE_IF_DOWN_ROWS": "5000",
            "GATEWAY_STALE_IF_DOWN_BYTES": "1000000",
            "GATEWAY_READINESS_INTERVAL_S": "0.25",
            "GATEWAY_READINESS_TIMEOUT_S": "2",
            "GATEWAY_CANARY_USER_ID": "0000-CANRY",
            "GATEWAY_CANARY_AUTHORIZATION": "Bearer secret",
            "GATEWAY_MAX_STREAMS": "3",
            "GATEWAY_MAX_STREAM_BYTES": "1000",
            "GATEWAY_MAX_STREAMS_BYTES": "2000",
            "GATEWAY_STREAM_STALL_S": "1.5",
            "GATEWAY_MAX_CONNECTIONS": "4",
            "GATEWAY_MAX_CALLS_PER_CONNECTION": "5",
            "GATEWAY_MAX_CONNECTION_AGE_GRACE_S": "60",
            "GATEWAY_DRAIN_PAUSE_S": "5",
            "GATEWAY_DRAIN_NOTICE_S": "2",
            "GATEWAY_SHUTDOWN_GRACE_S": "30",
        }
    )
    assert settings == Settings(
        bind_address="0.0.0.0",  # noqa: S104  # a setting, not a socket
        grpc_port=1,
        grpc_engine="native",
        http_port=2,
        feature_server_urls=("http://feast-0:6566", "https://feast-1"),
        dns_interval_s=9.0,
        contract_path=Path("/etc/contract.json"),
        default_feature_service="engagement_v1",
        default_timeout_s=0.5,
        max_timeout_s=20.0,
        deadline_margin_s=0.0,
        max_user_id_bytes=64,
        max_read_users=128,
        max_batch_users=10,
        max_stream_in_flight=20,
        max_streams=3,
        max_stream_bytes=1000,
        max_streams_bytes=2000,
        stream_stall_s=1.5,
        max_connections=4,
        max_calls_per_connection=5,
        max_queued_calls=7,
        reads_per_feature_server=2,
        hedge=True,
        stale_if_down_s=300.0,
        stale_if_down_rows=5000,
        stale_if_down_bytes=1_000_000,
        readiness_interval_s=0.25,
        readiness_timeout_s=2.0,
        canary_user_id="0000-CANRY",
        canary_authorization="Bearer secret",
        max_connection_age_grace_s=60.0,
        drain_pause_s=5.0,
        drain_notice_s=2.0,
        shutdown_grace_s=30.0,
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GATEWAY_GRPC_PORT", "70000", "it takes a port from 0"),
        ("GATEWAY_GRPC_PORT", "grpc", "it takes a port from 0"),
        ("GATEWAY_GRPC_ENGINE", "grpc", "it takes grpcio or native"),
        ("GATEWAY_HTTP_PORT", "-1", "it takes a port from 0"),
        ("GATEWAY_HTTP_PORT", "", "it takes a port from 0"),
        ("GATEWAY_DEFAULT_TIMEOUT_S", "20ms", "a number of seconds"),
        ("GATEWAY_DEFAULT_TIMEOUT_S", "nan", "a number of seconds"),
        ("GATEWAY_DEFAULT_TIMEOUT_S", "-1", "a number of seconds"),
        ("GATEWAY_READINESS_INTERVAL_S", "0", "a number of seconds above 0"),
        ("GATEWAY_READINESS_TIMEOUT_S", "soon", "a number of seconds"),
        ("GATEWAY_MAX_USER_ID_BYTES", "0", "a whole number from 1"),
        ("GATEWAY_FEATURE_SERVER_URLS", "localhost:6566", "http://, https://, dns+http:// or dns+https:// URLs"),
        ("GATEWAY_FEATURE_SERVER_URLS", "http://a,", "http://, https://, dns+http:// or dns+https:// URLs"),
        ("GATEWAY_FEATURE_SERVER_URLS", "http://a,http://a/", "a URL twice"),
        ("GATEWAY_HEDGE", "yes", "true or false"),
        ("GATEWAY_BIND_ADDRESS", "", "not empty"),
        ("GATEWAY_GRCP_PORT", "1", "no such setting; there are GATEWAY_ADMIN_PORT"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_name(variable: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({variable: value})
    assert variable in str(raised.value)
    assert message in str(raised.value)


def test_the_most_users_of_a_read_have_two_names() -> None:
    assert Settings.from_environment({"GATEWAY_MAX_BATCH_SIZE": "128"}).max_read_users == 128
    both = {"GATEWAY_MAX_READ_USERS": "128", "GATEWAY_MAX_BATCH_SIZE": "128"}
    assert Settings.from_environment(both).max_read_users == 128
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({**both, "GATEWAY_MAX_BATCH_SIZE": "64"})
    assert str(raised.value) == (
        "GATEWAY_MAX_READ_USERS is '128' and GATEWAY_MAX_BATCH_SIZE is '64': they are two names of one setting; set one"
    )


@pytest.mark.parametrize("scheme", DNS_SCHEMES)
def test_the_settings_take_the_schemes_that_the_resolver_resolves(scheme: str) -> None:
    settings = Settings.from_environment({"GATEWAY_FEATURE_SERVER_URLS": f"{scheme}://feature-server:6566"})
    assert needs_resolving(settings.feature_server_urls)


def test_the_canary_authorization_can_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "authorization"
    path.write_text("  Bearer secret\n")
    settings = Settings.from_environment({"GATEWAY_CANARY_AUTHORIZATION_FILE": str(path)})
    assert settings.canary_authorization == "Bearer secret"
    # An orchestrator may set to nothing what it does not use.
    both = {"GATEWAY_CANARY_AUTHORIZATION": "", "GATEWAY_CANARY_AUTHORIZATION_FILE": str(path)}
    assert Settings.from_environment(both) == settings
    neither = dict.fromkeys(both, "")
    assert Settings.from_environment(neither) == Settings()


def test_the_canary_authorization_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "authorization"
    path.write_text("Bearer secret")
    for environment in (
        {"GATEWAY_CANARY_AUTHORIZATION": "Bearer secret"},
        {"GATEWAY_CANARY_AUTHORIZATION_FILE": str(path)},
    ):
        assert "secret" not in repr(Settings.from_environment(environment))


@pytest.mark.parametrize("content", ["", " \n", "Bearer secret\nX-Admin: 1", "Bearer sécret", None])
def test_an_authorization_file_that_cannot_be_used_is_refused_and_not_shown(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "authorization"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({"GATEWAY_CANARY_AUTHORIZATION_FILE": str(path)})
    assert str(path) in str(raised.value)
    assert "GATEWAY_CANARY_AUTHORIZATION_FILE" in str(raised.value)
    assert "cret" not in str(raised.value)


def test_an_authorization_that_cannot_be_a_header_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({"GATEWAY_CANARY_AUTHORIZATION": "Bearer secret\nX-Admin: 1"})
    assert str(raised.value) == "GATEWAY_CANARY_AUTHORIZATION: it takes printable ASCII on one line"
    # Nor in what a traceback would show.
    assert raised.value.__cause__ is None or "secret" not in repr(raised.value.__cause__)


def test_two_canary_authorizations_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "authorization"
    path.write_text("Bearer secret")
    with pytest.raises(SettingsError, match="both set; set one") as raised:
        Settings.from_environment(
            {"GATEWAY_CANARY_AUTHORIZATION": "Bearer secret", "GATEWAY_CANARY_AUTHORIZATION_FILE": str(path)}
        )
    assert "secret" not in str(raised.value)
