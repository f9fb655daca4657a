"""The gateway's settings, read once from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_gateway import texts
from feature_gateway.access_settings import AccessSettings
from feature_gateway.environment import SettingsError, setting, values_of
from feature_gateway.urls import base_urls


@dataclass(frozen=True, kw_only=True)
class Settings(AccessSettings):
    """All settings; each field has its variable and its default."""

    bind_address: str = setting("GATEWAY_BIND_ADDRESS", "127.0.0.1", texts.text_of)
    """The address that both servers listen on; 0.0.0.0 in a container."""

    grpc_port: int = setting("GATEWAY_GRPC_PORT", 50051, texts.port_of)
    """The gRPC server's port."""

    grpc_engine: str = setting("GATEWAY_GRPC_ENGINE", "grpcio", texts.engine_of)
    """What serves gRPC: gRPC's own server, or pygrpc-native's (native)."""

    http_port: int = setting("GATEWAY_HTTP_PORT", 8000, texts.port_of)
    """The HTTP server's port."""

    admin_port: int | None = setting("GATEWAY_ADMIN_PORT", None, texts.port_if_any_of)
    """The port that probes and metrics have, without TLS, instead of the HTTP port; None for the HTTP port."""

    http_hosts: tuple[str, ...] = setting("GATEWAY_HTTP_HOSTS", (), texts.hosts_of)
    """The Host headers that the HTTP port answers, a name without a port with any port; empty for all."""

    http_origins: tuple[str, ...] = setting("GATEWAY_HTTP_ORIGINS", (), texts.origins_of)
    """The origins whose web pages may read features over HTTP; empty for none."""

    pages: bool = setting("GATEWAY_PAGES", False, texts.switch_of)
    """Whether the HTTP port has pages for people with a browser."""

    tls_cert_file: Path | None = setting("GATEWAY_TLS_CERT_FILE", None, texts.path_if_any_of)
    """The PEM certificate, with its chain, of both ports; None for ports without TLS. Read again when it changes."""

    tls_key_file: Path | None = setting("GATEWAY_TLS_KEY_FILE", None, texts.path_if_any_of)
    """The PEM key of the certificate, without a password."""

    tls_client_ca_file: Path | None = setting("GATEWAY_TLS_CLIENT_CA_FILE", None, texts.path_if_any_of)
    """The PEM certificates of the authorities that callers' certificates must be of; None: callers need none."""

    feature_server_urls: tuple[str, ...] = setting(
        "GATEWAY_FEATURE_SERVER_URLS", ("http://127.0.0.1:6566",), base_urls, quoted=False
    )
    """The base URLs of the `feast serve` replicas; the host of a dns+http:// one stands for all of its addresses."""

    dns_interval_s: float = setting("GATEWAY_DNS_INTERVAL_S", 5.0, texts.seconds_of)
    """How often dns+http:// names are resolved again."""

    feature_server_ca_file: Path | None = setting("GATEWAY_FEATURE_SERVER_CA_FILE", None, texts.path_if_any_of)
    """The PEM certificates of the authorities that feature servers' certificates must be of; None: the system's."""

    feature_server_cert_file: Path | None = setting("GATEWAY_FEATURE_SERVER_CERT_FILE", None, texts.path_if_any_of)
    """The PEM certificate that feature servers are shown; None for none."""

    feature_server_key_file: Path | None = setting("GATEWAY_FEATURE_SERVER_KEY_FILE", None, texts.path_if_any_of)
    """The PEM key of that certificate, without a password."""

    feature_server_subset_size: int = setting("GATEWAY_FEATURE_SERVER_SUBSET_SIZE", 0, texts.count_from_0_of)
    """How many of the feature servers this gateway reads from; 0 for all."""

    peer_urls: tuple[str, ...] = setting(
        "GATEWAY_PEER_URLS", (), lambda text: base_urls(text) if text else (), quoted=False
    )
    """The URLs, with gRPC ports, of all gateways that share the feature servers, this one too; empty: not known."""

    contract_path: Path = setting("GATEWAY_CONTRACT_PATH", Path("feature_repo/contract.json"), Path)
    """The contract written by `offline apply`; read at the start and whenever it changes."""

    user_entity: str = setting("GATEWAY_USER_ENTITY", "user", texts.text_of)
    """The entity that GetUserFeatures and the other methods for users are for."""

    default_feature_service: str = setting("GATEWAY_DEFAULT_FEATURE_SERVICE", "", str)
    """The feature service of a request that selects nothing; empty for the only one that needs a user id alone."""

    default_timeout_s: float = setting("GATEWAY_DEFAULT_TIMEOUT_S", 1.0, texts.seconds_of)
    """The time that a call without a deadline gets."""

    max_timeout_s: float = setting("GATEWAY_MAX_TIMEOUT_S", 30.0, texts.some_seconds_of)
    """The most time that a call gets, whatever its deadline: so long a read for it may hold a feature server's slot."""

    deadline_margin_s: float = setting("GATEWAY_DEADLINE_MARGIN_S", 0.002, texts.seconds_of)
    """The part of a call's deadline that is kept for sending the reply."""

    max_user_id_bytes: int = setting("GATEWAY_MAX_USER_ID_BYTES", 128, texts.count_of)
    """The longest user id taken, in bytes of UTF-8."""

    max_read_users: int = setting("GATEWAY_MAX_READ_USERS", 64, texts.count_of, other_name="GATEWAY_MAX_BATCH_SIZE")
    """The most users that one read of a feature server has."""

    max_batch_users: int = setting("GATEWAY_MAX_BATCH_USERS", 1000, texts.count_of)
    """The most users that one BatchGetUserFeatures may name, and the most rows of one GetOnlineFeatures."""

    max_stream_in_flight: int = setting("GATEWAY_MAX_STREAM_IN_FLIGHT", 4096, texts.count_of)
    """How many questions of one stream may be unanswered; further questions are left unread until there is room."""

    max_streams: int = setting("GATEWAY_MAX_STREAMS", 512, texts.count_of)
    """How many streams may be open at once; further streams are refused."""

    max_stream_bytes: int = setting("GATEWAY_MAX_STREAM_BYTES", 4 * 2**20, texts.count_of)
    """The memory of one stream's answers that its caller has not taken; further questions are left unread."""

    max_streams_bytes: int = setting("GATEWAY_MAX_STREAMS_BYTES", 64 * 2**20, texts.count_of)
    """The memory of all streams' answers that have not been taken; then each stream has one question answered."""

    stream_stall_s: float = setting("GATEWAY_STREAM_STALL_S", 30.0, texts.some_seconds_of)
    """How long a caller may take no answer before its stream is ended."""

    max_connections: int = setting("GATEWAY_MAX_CONNECTIONS", 1000, texts.count_of)
    """How many gRPC connections may be open at once; further ones are closed."""

    max_calls_per_connection: int = setting("GATEWAY_MAX_CALLS_PER_CONNECTION", 8192, texts.count_of)
    """How many calls, streams too, one gRPC connection may have at once; a client keeps further calls back."""

    max_message_bytes: int = setting("GATEWAY_MAX_MESSAGE_BYTES", 4 * 2**20, texts.count_of)
    """The largest request message over gRPC."""

    max_metadata_bytes: int = setting("GATEWAY_MAX_METADATA_BYTES", 16 * 2**10, texts.count_of)
    """The most metadata of a call over gRPC, as HTTP/2 counts it: 32 bytes more for each entry."""

    max_queued_calls: int = setting("GATEWAY_MAX_QUEUED_CALLS", 4096, texts.count_of)
    """How many calls may wait for a feature server; further calls are refused."""

    reads_per_feature_server: int = setting("GATEWAY_READS_PER_FEATURE_SERVER", 1, texts.count_of)
    """The most reads in flight on one feature server, which is one Python process."""

    hedge: bool = setting("GATEWAY_HEDGE", False, texts.switch_of)
    """Whether a slow read is sent to a second feature server too."""

    stale_if_down_s: float = setting("GATEWAY_STALE_IF_DOWN_S", 0.0, texts.seconds_of)
    """The age up to which a remembered row is returned while the feature servers are down; 0 to remember none."""

    stale_if_down_rows: int = setting("GATEWAY_STALE_IF_DOWN_ROWS", 100_000, texts.count_of)
    """The most rows that are remembered."""

    stale_if_down_bytes: int = setting("GATEWAY_STALE_IF_DOWN_BYTES", 64 * 2**20, texts.count_of)
    """The most memory of rows that are remembered."""

    readiness_interval_s: float = setting("GATEWAY_READINESS_INTERVAL_S", 0.5, texts.some_seconds_of)
    """The time from the start of a canary read to the next; a fault that ends is noticed within it."""

    readiness_timeout_s: float = setting("GATEWAY_READINESS_TIMEOUT_S", 0.5, texts.some_seconds_of)
    """How long a canary read may take."""

    start_trial_s: float = setting("GATEWAY_START_TRIAL_S", 90.0, texts.seconds_of)
    """How long after the start readiness needs every feature server to answer by the contract; after that, one."""

    canary_user_id: str = setting("GATEWAY_CANARY_USER_ID", "3413-BMNZE", texts.text_of)
    """What canary reads give for join keys, of a row that may be unknown; a number's key gets 0 instead of a text."""

    canary_authorization: str = setting("GATEWAY_CANARY_AUTHORIZATION", "", texts.authorization_of, secret=True)
    """The Authorization header of the canary read; empty for none. From the environment or from the file."""

    canary_authorization_file: Path | None = setting("GATEWAY_CANARY_AUTHORIZATION_FILE", None, texts.path_if_any_of)
    """The file that the header is read from; None for no file."""

    max_connection_age_s: float = setting("GATEWAY_MAX_CONNECTION_AGE_S", 300.0, texts.seconds_of)
    """The age at which a gRPC connection's client has to open another, give or take a tenth; 0 for any age."""

    max_connection_age_grace_s: float = setting("GATEWAY_MAX_CONNECTION_AGE_GRACE_S", 3600.0, texts.some_seconds_of)
    """How long after its age a connection with open calls is kept; then they are ended with it."""

    http_keepalive_s: float = setting("GATEWAY_HTTP_KEEPALIVE_S", 75.0, texts.some_seconds_of)
    """How long an HTTP connection may be without a whole request, from its start or its last answer."""

    max_http_connections: int = setting("GATEWAY_MAX_HTTP_CONNECTIONS", 1000, texts.count_of)
    """The most HTTP connections at a time."""

    max_http_header_bytes: int = setting("GATEWAY_MAX_HTTP_HEADER_BYTES", 8190, texts.count_of)
    """The most bytes of an HTTP request's line, and of each of its headers."""

    drain_pause_s: float = setting("GATEWAY_DRAIN_PAUSE_S", 1.0, texts.seconds_of)
    """How long calls are still answered after SIGTERM, while clients that follow health go elsewhere."""

    drain_notice_s: float = setting("GATEWAY_DRAIN_NOTICE_S", 1.0, texts.seconds_of)
    """The time between the notice to balancers and the notice to clients, within the drain pause."""

    shutdown_grace_s: float = setting("GATEWAY_SHUTDOWN_GRACE_S", 10.0, texts.seconds_of)
    """How long calls in flight may take after the drain pause."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Return the settings of an environment; raise SettingsError for one that can't be used.

        An unknown variable that starts with GATEWAY_ is an error, so that a typing error is noticed.
        """
        values = values_of(cls, environment, prefix="GATEWAY_")
        for needed, by in _TOGETHER:
            if values.get(by) and not values.get(needed):
                raise SettingsError(f"GATEWAY_{by.upper()} is set without GATEWAY_{needed.upper()}; set both")
        _read_authorization(values)
        return cls(**values)


_TOGETHER = (
    ("tls_key_file", "tls_cert_file"),
    ("tls_cert_file", "tls_key_file"),
    ("tls_cert_file", "tls_client_ca_file"),
    ("feature_server_key_file", "feature_server_cert_file"),
    ("feature_server_cert_file", "feature_server_key_file"),
)


def _read_authorization(values: dict[str, Any]) -> None:
    path = values.get("canary_authorization_file")
    if path is None:
        return
    if values.get("canary_authorization"):
        raise SettingsError("GATEWAY_CANARY_AUTHORIZATION and GATEWAY_CANARY_AUTHORIZATION_FILE are both set; set one")
    try:
        values["canary_authorization"] = texts.authorization_in(path)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_CANARY_AUTHORIZATION_FILE is {str(path)!r}: {error}") from error
