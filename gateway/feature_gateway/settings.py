"""The gateway's settings, read once from the environment."""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from feature_gateway.urls import base_urls

_MAX_PORT = 65535


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


def _text(text: str) -> str:
    if not text:
        raise ValueError("it takes a text that is not empty")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _MAX_PORT:
        raise ValueError(f"it takes a port from 0 (any free one) to {_MAX_PORT}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("it takes a whole number from 1")
    return int(text)


def _count_from_0(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("it takes a whole number from 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError("it takes a number of seconds, such as 0.5")
    return seconds


def _some_seconds(text: str) -> float:
    seconds = _seconds(text)
    if seconds == 0:
        raise ValueError("it takes a number of seconds above 0, such as 0.5")
    return seconds


def _switch(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("it takes true or false")
    return text == "true"


def _authorization(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("it takes printable ASCII on one line")
    return text


def _path_if_any(text: str) -> Path | None:
    return Path(text) if text else None


def _authorization_in(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise ValueError(f"it can't be read ({error.strerror})") from error
    if not text:
        raise ValueError("it is empty")
    return _authorization(text)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings; each field has its variable and its default."""

    bind_address: str = _setting("GATEWAY_BIND_ADDRESS", "127.0.0.1", _text)
    """The address that both servers listen on; 0.0.0.0 in a container."""

    grpc_port: int = _setting("GATEWAY_GRPC_PORT", 50051, _port)
    """The gRPC server's port."""

    http_port: int = _setting("GATEWAY_HTTP_PORT", 8000, _port)
    """The HTTP server's port."""

    feature_server_urls: tuple[str, ...] = _setting(
        "GATEWAY_FEATURE_SERVER_URLS", ("http://127.0.0.1:6566",), base_urls, quoted=False
    )
    """The base URLs of the `feast serve` replicas; the host of a dns+http:// one stands for all of its addresses."""

    dns_interval_s: float = _setting("GATEWAY_DNS_INTERVAL_S", 5.0, _seconds)
    """How often dns+http:// names are resolved again."""

    feature_server_subset_size: int = _setting("GATEWAY_FEATURE_SERVER_SUBSET_SIZE", 0, _count_from_0)
    """How many of the feature servers this gateway reads from; 0 for all."""

    contract_path: Path = _setting("GATEWAY_CONTRACT_PATH", Path("feature_repo/contract.json"), Path)
    """The contract written by `offline apply`; read at the start and whenever it changes."""

    default_feature_service: str = _setting("GATEWAY_DEFAULT_FEATURE_SERVICE", "churn_v1", _text)
    """The feature service of a request that selects nothing."""

    default_timeout_s: float = _setting("GATEWAY_DEFAULT_TIMEOUT_S", 1.0, _seconds)
    """The time that a call without a deadline gets."""

    max_timeout_s: float = _setting("GATEWAY_MAX_TIMEOUT_S", 30.0, _some_seconds)
    """The most time that a call gets, whatever its deadline: so long a read for it may hold a feature server's slot."""

    deadline_margin_s: float = _setting("GATEWAY_DEADLINE_MARGIN_S", 0.002, _seconds)
    """The part of a call's deadline that is kept for sending the reply."""

    max_user_id_bytes: int = _setting("GATEWAY_MAX_USER_ID_BYTES", 128, _count)
    """The longest user id taken, in bytes of UTF-8."""

    max_read_users: int = _setting("GATEWAY_MAX_READ_USERS", 64, _count, other_name="GATEWAY_MAX_BATCH_SIZE")
    """The most users that one read of a feature server has."""

    max_batch_users: int = _setting("GATEWAY_MAX_BATCH_USERS", 1000, _count)
    """The most users that one BatchGetUserFeatures may name."""

    max_stream_in_flight: int = _setting("GATEWAY_MAX_STREAM_IN_FLIGHT", 4096, _count)
    """How many questions of one stream may be unanswered; further questions are left unread until there is room."""

    max_queued_calls: int = _setting("GATEWAY_MAX_QUEUED_CALLS", 4096, _count)
    """How many calls may wait for a feature server; further calls are refused."""

    reads_per_feature_server: int = _setting("GATEWAY_READS_PER_FEATURE_SERVER", 1, _count)
    """The most reads in flight on one feature server, which is one Python process."""

    hedge: bool = _setting("GATEWAY_HEDGE", False, _switch)
    """Whether a slow read is sent to a second feature server too."""

    stale_if_down_s: float = _setting("GATEWAY_STALE_IF_DOWN_S", 0.0, _seconds)
    """The age up to which a remembered row is returned while the feature servers are down; 0 to remember none."""

    stale_if_down_rows: int = _setting("GATEWAY_STALE_IF_DOWN_ROWS", 100_000, _count)
    """The most rows that are remembered."""

    readiness_interval_s: float = _setting("GATEWAY_READINESS_INTERVAL_S", 0.5, _some_seconds)
    """The time from the start of a canary read to the next; a fault that ends is noticed within it."""

    readiness_timeout_s: float = _setting("GATEWAY_READINESS_TIMEOUT_S", 0.5, _some_seconds)
    """How long a canary read may take."""

    start_trial_s: float = _setting("GATEWAY_START_TRIAL_S", 90.0, _seconds)
    """How long after the start readiness needs every feature server to answer by the contract; after that, one."""

    canary_user_id: str = _setting("GATEWAY_CANARY_USER_ID", "3413-BMNZE", _text)
    """The user of the canary reads, who may be unknown."""

    canary_authorization: str = _setting("GATEWAY_CANARY_AUTHORIZATION", "", _authorization, secret=True)
    """The Authorization header of the canary read; empty for none. From the environment or from the file."""

    canary_authorization_file: Path | None = _setting("GATEWAY_CANARY_AUTHORIZATION_FILE", None, _path_if_any)
    """The file that the header is read from; None for no file."""

    max_connection_age_s: float = _setting("GATEWAY_MAX_CONNECTION_AGE_S", 300.0, _seconds)
    """The age at which a gRPC connection's client has to open another, give or take a tenth; 0 for any age."""

    drain_pause_s: float = _setting("GATEWAY_DRAIN_PAUSE_S", 1.0, _seconds)
    """How long calls are still answered after SIGTERM, while clients that follow health go elsewhere."""

    drain_notice_s: float = _setting("GATEWAY_DRAIN_NOTICE_S", 1.0, _seconds)
    """The part of the drain pause in which only balancers are told; after that, clients are told to leave."""

    shutdown_grace_s: float = _setting("GATEWAY_SHUTDOWN_GRACE_S", 10.0, _seconds)
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
        values["canary_authorization"] = _authorization_in(path)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_CANARY_AUTHORIZATION_FILE is {str(path)!r}: {error}") from error
