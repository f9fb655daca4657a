"""Where a client connects to, and what its calls carry: from arguments, else from STREAMFLOW_FEATURES_… variables."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import grpc

from streamflow_features._authorization import Authorization, Metadata, TokenFile, call_metadata
from streamflow_features._channel import authority_of, channel_options

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 1.0
PREFIX = "STREAMFLOW_FEATURES_"
"""What the names of the variables begin with."""

_WITH_ANY_CHANNEL = frozenset({"token", "authorization", "metadata"})
_YES_AND_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class ConnectionOptions(TypedDict, total=False):
    """The optional keywords of a client's connection."""

    follow_health: bool
    """Whether the client skips gateways whose gRPC health is not SERVING, as by default. Otherwise it calls them too,
    and their errors say what is wrong."""

    tls: bool
    """Whether connections use TLS: true when any of the files below is given. False goes before the variables of these
    files. Variable STREAMFLOW_FEATURES_TLS."""

    ca_file: str | Path
    """PEM certificates of the authorities that gateways' certificates must come from; the default are the system's.
    Variable STREAMFLOW_FEATURES_CA_FILE."""

    cert_file: str | Path
    """The client's own PEM certificate, for mutual TLS, with `key_file`. Variable STREAMFLOW_FEATURES_CERT_FILE."""

    key_file: str | Path
    """The private key of `cert_file`. Variable STREAMFLOW_FEATURES_KEY_FILE."""

    credentials: grpc.ChannelCredentials | None
    """gRPC's own credentials, instead of the TLS keywords above."""

    token: str
    """Calls carry it as `authorization: Bearer TOKEN`. Variable STREAMFLOW_FEATURES_TOKEN. A file that
    STREAMFLOW_FEATURES_TOKEN_FILE names is read again after each change."""

    authorization: Authorization | None
    """The whole value of `authorization`, or a function without arguments that returns it and is called before each
    call, so that a token can be renewed. Instead of `token`."""

    metadata: Iterable[tuple[str, str]]
    """What each call carries besides."""

    options: Sequence[tuple[str, Any]]
    """Options of gRPC's channel, which replace the client's own of the same name."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client is made of."""

    target: str
    timeout_s: float
    credentials: grpc.ChannelCredentials | None
    metadata: Callable[[], Metadata]
    channel_options: list[tuple[str, Any]]


def connection_of(
    target: str | None,
    timeout_s: float | None,
    *,
    own_channel: bool = False,
    environment: Mapping[str, str] | None = None,
    **options: Unpack[ConnectionOptions],
) -> Connection:
    """Return the connection of arguments and variables; an argument goes before its variable.

    With `own_channel`, the caller has a channel: no argument may say how to make one, and variables that do count for
    nothing. Raises ValueError for what can't be used or combined, by the name of the argument or the variable, and
    OSError for a file that can't be read.
    """
    variables = _Variables(os.environ if environment is None else environment)
    if own_channel:
        given = [name for name in options if name not in _WITH_ANY_CHANNEL]
        if target is not None or given:
            raise ValueError(f"give either channel or {'target' if target is not None else given[0]}, not both")
        target = DEFAULT_TARGET
    target = target or variables.text("TARGET") or DEFAULT_TARGET
    if timeout_s is None:
        timeout_s = variables.seconds("TIMEOUT_S") or DEFAULT_TIMEOUT_S
    credentials = None if own_channel else options.get("credentials") or _tls(variables, **options)
    made = dict(channel_options(follow_health=options.get("follow_health", True)))
    if credentials is None:
        made |= authority_of(target)
    made |= options.get("options", ())
    return Connection(target, timeout_s, credentials, _metadata(variables, **options), list(made.items()))


class _Variables:
    """The STREAMFLOW_FEATURES_… variables. An empty one counts as not set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str | None:
        return self._environment.get(PREFIX + name) or None

    def seconds(self, name: str) -> float | None:
        text = self.text(name)
        try:
            seconds = None if text is None else float(text)
        except ValueError:
            seconds = -1.0
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ValueError(f"{PREFIX}{name} is {text!r}; set a positive number of seconds")
        return seconds

    def flag(self, name: str) -> bool | None:
        text = self.text(name)
        if text is not None and text.lower() not in _YES_AND_NO:
            raise ValueError(f"{PREFIX}{name} is {text!r}; set 1 or 0")
        return None if text is None else _YES_AND_NO[text.lower()]


def _tls(variables: _Variables, **options: Unpack[ConnectionOptions]) -> grpc.ChannelCredentials | None:
    """Return the credentials of the TLS keywords and variables; None without TLS."""
    if options.get("tls") is False:
        variables = _Variables({})
    ca_file = options.get("ca_file") or variables.text("CA_FILE")
    cert_file = options.get("cert_file") or variables.text("CERT_FILE")
    key_file = options.get("key_file") or variables.text("KEY_FILE")
    tls = options.get("tls", variables.flag("TLS"))
    if (cert_file is None) != (key_file is None):
        raise ValueError("mutual TLS takes cert_file and key_file together; give both or none")
    files = [file for file in (ca_file, cert_file, key_file) if file is not None]
    if tls is False and files:
        raise ValueError(f"TLS is off, and {files[0]} is for TLS; leave out one of the two")
    if not tls and not files:
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=None if ca_file is None else Path(ca_file).read_bytes(),
        private_key=None if key_file is None else Path(key_file).read_bytes(),
        certificate_chain=None if cert_file is None else Path(cert_file).read_bytes(),
    )


def _metadata(variables: _Variables, **options: Unpack[ConnectionOptions]) -> Callable[[], Metadata]:
    authorization = options.get("authorization")
    token = options.get("token")
    if authorization is not None and token is not None:
        raise ValueError("give either token or authorization, not both")
    if authorization is None:
        token = token or variables.text("TOKEN")
        file = variables.text("TOKEN_FILE")
        if token is not None:
            authorization = f"Bearer {token}"
        elif file is not None:
            authorization = TokenFile(Path(file))
    return call_metadata(authorization, besides=tuple(options.get("metadata", ())))
