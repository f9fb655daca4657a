"""The gateway's settings, read once from the environment."""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from feature_gateway import texts
from feature_gateway.urls import base_urls


class SettingsError(ValueError):
    """A setting that can't be used; the message names the variable, its value and what it takes."""


def _setting(
    variable: str,
    default: object,
    parse: Callable[[str], object],
    *,
    other_name: str | None = None,
    secret: bool = False,
    quoted: bool = True,
) -> Any:
    """Return a field with its variable; `other_name` is a second variable, which is read as well.

    An error quotes the value, unless the value is `secret` or not to be `quoted`.
    """
    quoted = quoted and not secret
    metadata = {"variable": variable, "parse": parse, "other_name": other_name, "quoted": quoted}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings; each field has its variable and its default."""

    bind_address: str = _setting("GATEWAY_BIND_ADDRESS", "127.0.0.1", texts.text_of)
    """The address that both servers listen on; 0.0.0.0 in a container."""

    grpc_port: int = _setting("GATEWAY_GRPC_PORT", 50051, texts.port_of)
    """The gRPC server's port."""

    http_port: int = _setting("GATEWAY_HTTP_PORT", 8000, texts.port_of)
    """The HTTP server's port."""

    feature_server_urls: tuple[str, ...] = _setting(
        "GATEWAY_FEATURE_SERVER_URLS", ("http://127.0.0.1:6566",), base_urls, quoted=False
    )
    """The base URLs of the `feast serve` replicas; the host of a dns+http:// one stands for all of its addresses."""

    dns_interval_s: float = _setting("GATEWAY_DNS_INTERVAL_S", 5.0, texts.seconds_of)
    """How often dns+http:// names are resolved again."""

    feature_server_subset_size: int = _setting("GATEWAY_FEATURE_SERVER_SUBSET_SIZE", 0, texts.count_from_0_of)
    """How many of the feature servers this gateway reads from; 0 for all."""

    peer_urls: tuple[str, ...] = _setting(
        "GATEWAY_PEER_URLS", (), lambda text: base_urls(text) if text else (), quoted=False
    )
    """The URLs, with gRPC ports, of all gateways that share the feature servers, this one too; empty: not known."""

    contract_path: Path = _setting("GATEWAY_CONTRACT_PATH", Path("feature_repo/contract.json"), Path)
    """The contract written by `offline apply`; read at the start and whenever it changes."""

    user_entity: str = _setting("GATEWAY_USER_ENTITY", "user", texts.text_of)
    """The entity that GetUserFeatures and the other methods for users are for."""

    default_feature_service: str = _setting("GATEWAY_DEFAULT_FEATURE_SERVICE", "", str)
    """The feature service of a request that selects nothing; empty for the only one that needs a user id alone."""

    default_timeout_s: float = _setting("GATEWAY_DEFAULT_TIMEOUT_S", 1.0, texts.seconds_of)
    """The time that a call without a deadline gets."""

    max_timeout_s: float = _setting("GATEWAY_MAX_TIMEOUT_S", 30.0, texts.some_seconds_of)
    """The most time that a call gets, whatever its deadline: so long a read for it may hold a feature server's slot."""

    deadline_margin_s: float = _setting("GATEWAY_DEADLINE_MARGIN_S", 0.002, texts.seconds_of)
    """The part of a call's deadline that is kept for sending the reply."""

    max_user_id_bytes: int = _setting("GATEWAY_MAX_USER_ID_BYTES", 128, texts.count_of)
    """The longest user id taken, in bytes of UTF-8."""

    max_read_users: int = _setting("GATEWAY_MAX_READ_USERS", 64, texts.count_of, other_name="GATEWAY_MAX_BATCH_SIZE")
    """The most users that one read of a feature server has."""

    max_batch_users: int = _setting("GATEWAY_MAX_BATCH_USERS", 1000, texts.count_of)
    """The most users that one BatchGetUserFeatures may name, and the most rows of one GetOnlineFeatures."""

    max_stream_in_flight: int = _setting("GATEWAY_MAX_STREAM_IN_FLIGHT", 4096, texts.count_of)
    """How many questions of one stream may be unanswered; further questions are left unread until there is room."""

    max_streams: int = _setting("GATEWAY_MAX_STREAMS", 512, texts.count_of)
    """How many streams may be open at once; further streams are refused."""

    max_stream_bytes: int = _setting("GATEWAY_MAX_STREAM_BYTES", 4 * 2**20, texts.count_of)
    """The memory of one stream's answers that its caller has not taken; further questions are left unread."""

    max_streams_bytes: int = _setting("GATEWAY_MAX_STREAMS_BYTES", 64 * 2**20, texts.count_of)
    """The memory of all streams' answers that have not been taken; then each stream has one question answered."""

    stream_stall_s: float = _setting("GATEWAY_STREAM_STALL_S", 30.0, texts.some_seconds_of)
    """How long a caller may take no answer before its stream is ended."""

    max_connections: int = _setting("GATEWAY_MAX_CONNECTIONS", 1000, texts.count_of)
    """How many gRPC connections may be open at once; further ones are closed."""

    max_calls_per_connection: int = _setting("GATEWAY_MAX_CALLS_PER_CONNECTION", 8192, texts.count_of)
    """How many calls, streams too, one gRPC connection may have at once; a client keeps further calls back."""

    max_queued_calls: int = _setting("GATEWAY_MAX_QUEUED_CALLS", 4096, texts.count_of)
    """How many calls may wait for a feature server; further calls are refused."""

    reads_per_feature_server: int = _setting("GATEWAY_READS_PER_FEATURE_SERVER", 1, texts.count_of)
    """The most reads in flight on one feature server, which is one Python process."""

    hedge: bool = _setting("GATEWAY_HEDGE", False, texts.switch_of)
    """Whether a slow read is sent to a second feature server too."""

    stale_if_down_s: float = _setting("GATEWAY_STALE_IF_DOWN_S", 0.0, texts.seconds_of)
    """The age up to which a remembered row is returned while the feature servers are down; 0 to remember none."""

    stale_if_down_rows: int = _setting("GATEWAY_STALE_IF_DOWN_ROWS", 100_000, texts.count_of)
    """The most rows that are remembered."""

    stale_if_down_bytes: int = _setting("GATEWAY_STALE_IF_DOWN_BYTES", 64 * 2**20, texts.count_of)
    """The most memory of rows that are remembered."""

    readiness_interval_s: float = _setting("GATEWAY_READINESS_INTERVAL_S", 0.5, texts.some_seconds_of)
    """The time from the start of a canary read to the next; a fault that ends is noticed within it."""

    readiness_timeout_s: float = _setting("GATEWAY_READINESS_TIMEOUT_S", 0.5, texts.some_seconds_of)
    """How long a canary read may take."""

    start_trial_s: float = _setting("GATEWAY_START_TRIAL_S", 90.0, texts.seconds_of)
    """How long after the start readiness needs every feature server to answer by the contract; after that, one."""

    canary_user_id: str = _setting("GATEWAY_CANARY_USER_ID", "3413-BMNZE", texts.text_of)
    """What canary reads give for join keys, of a row that may be unknown; a number's key gets 0 instead of a text."""

    canary_authorization: str = _setting("GATEWAY_CANARY_AUTHORIZATION", "", texts.authorization_of, secret=True)
    """The Authorization header of the canary read; empty for none. From the environment or from the file."""

    canary_authorization_file: Path | None = _setting("GATEWAY_CANARY_AUTHORIZATION_FILE", None, texts.path_if_any_of)
    """The file that the header is read from; None for no file."""

    max_connection_age_s: float = _setting("GATEWAY_MAX_CONNECTION_AGE_S", 300.0, texts.seconds_of)
    """The age at which a gRPC connection's client has to open another, give or take a tenth; 0 for any age."""

    max_connection_age_grace_s: float = _setting("GATEWAY_MAX_CONNECTION_AGE_GRACE_S", 3600.0, texts.some_seconds_of)
    """How long after its age a connection with open calls is kept; then they are ended with it."""

    http_keepalive_s: float = _setting("GATEWAY_HTTP_KEEPALIVE_S", 75.0, texts.some_seconds_of)
    """How long an HTTP connection may be without a whole request, from its start or its last answer."""

    max_http_connections: int = _setting("GATEWAY_MAX_HTTP_CONNECTIONS", 1000, texts.count_of)
    """The most HTTP connections at a time."""

    drain_pause_s: float = _setting("GATEWAY_DRAIN_PAUSE_S", 1.0, texts.seconds_of)
    """How long calls are still answered after SIGTERM, while clients that follow health go elsewhere."""

    drain_notice_s: float = _setting("GATEWAY_DRAIN_NOTICE_S", 1.0, texts.seconds_of)
    """The time between the notice to balancers and the notice to clients, within the drain pause."""

    shutdown_grace_s: float = _setting("GATEWAY_SHUTDOWN_GRACE_S", 10.0, texts.seconds_of)
    """How long calls in flight may take after the drain pause."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Return the settings of an environment; raise SettingsError for one that can't be used.

        An unknown variable that starts with GATEWAY_ is an error, so that a typing error is noticed.
        """
        by_variable = {variable: setting for setting in fields(cls) for variable in _variables(setting)}
        unknown = sorted(name for name in environment if name.startswith("GATEWAY_") and name not in by_variable)
        if unknown:
            raise SettingsError(f"{', '.join(unknown)}: no such setting; there are {', '.join(sorted(by_variable))}")
        values: dict[str, Any] = {}
        for variable, setting in by_variable.items():
            if variable not in environment:
                continue
            value = _parsed(variable, setting, environment[variable])
            if values.setdefault(setting.name, value) != value:
                both = " and ".join(f"{name} is {environment[name]!r}" for name in _variables(setting))
                raise SettingsError(f"{both}: they are two names of one setting; set one")
        _read_authorization(values)
        return cls(**values)


def _variables(setting: "Field[Any]") -> list[str]:
    other_name = setting.metadata["other_name"]
    return [setting.metadata["variable"], *([other_name] if other_name else [])]


def _parsed(variable: str, setting: "Field[Any]", text: str) -> Any:
    try:
        return setting.metadata["parse"](text)
    except ValueError as error:
        shown = f" is {text!r}" if setting.metadata["quoted"] else ""
        raise SettingsError(f"{variable}{shown}: {error}") from error


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
