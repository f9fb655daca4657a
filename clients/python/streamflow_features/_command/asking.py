"""What the subcommands that ask a gateway have in common: options, and the client that they make of them."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from streamflow_features._authorization import TokenFile
from streamflow_features._client import FeatureClient
from streamflow_features._connection import ConnectionOptions
from streamflow_features._queries import QueryOptions
from streamflow_features._request_data import RequestDataValue

AddCommand = Callable[..., argparse.ArgumentParser]
"""Adds a subcommand of a name, with argparse's keywords."""


def add_asking(command: argparse.ArgumentParser) -> None:
    """Add the options of a connection, and of the output."""
    command.add_argument("--json", action="store_true", help="print JSON for programs")
    connection = command.add_argument_group("connection")
    connection.add_argument("--target", help="where gateways are, such as 127.0.0.1:50051 or dns:///gateway:50051")
    connection.add_argument("--timeout-s", type=seconds, metavar="SECONDS", help="the deadline of each call")
    connection.add_argument("--tls", action="store_true", help="use TLS, by the system's certificates")
    connection.add_argument("--ca-file", metavar="FILE", help="the authorities of the gateways' certificates")
    connection.add_argument("--cert-file", metavar="FILE", help="the client's certificate, for mutual TLS")
    connection.add_argument("--key-file", metavar="FILE", help="the key of --cert-file")
    connection.add_argument("--token-file", metavar="FILE", help="the file of the token that calls carry")
    connection.add_argument(
        "--any-health", action="store_true", help="call gateways that are not SERVING too; their errors say why"
    )


def add_selecting(command: argparse.ArgumentParser) -> None:
    """Add the user, and the options of what is asked for."""
    command.add_argument("user_id", metavar="USER", help="the user's id, such as 3413-BMNZE")
    selection = command.add_mutually_exclusive_group()
    selection.add_argument("--service", metavar="S", help="all features of this feature service")
    selection.add_argument(
        "--feature",
        action="append",
        dest="features",
        metavar="VIEW:FEATURE",
        help="a feature; repeat the option for more",
    )
    command.add_argument("--max-age-s", type=float, metavar="SECONDS", help="the age from which a value is too old")
    command.add_argument(
        "--request-data",
        action="append",
        type=_request_data,
        default=[],
        metavar="NAME=VALUE",
        help="what features are computed from: JSON, or a text; repeat the option for more",
    )


def client_of(options: argparse.Namespace) -> FeatureClient:
    """Return the client of the options. Raises ValueError for what can't be combined, and OSError for a file."""
    connection = ConnectionOptions(follow_health=not options.any_health)
    if options.tls:
        connection["tls"] = True
    if options.ca_file:
        connection["ca_file"] = options.ca_file
    if options.cert_file:
        connection["cert_file"] = options.cert_file
    if options.key_file:
        connection["key_file"] = options.key_file
    if options.token_file:
        connection["authorization"] = TokenFile(Path(options.token_file))
    # Merging is for calls that are made at the same time.
    return FeatureClient(options.target, timeout_s=options.timeout_s, merge_calls=False, **connection)


def query_of(options: argparse.Namespace) -> QueryOptions:
    """Return what is asked for."""
    return {
        "feature_service": options.service,
        "features": options.features,
        "max_age_s": options.max_age_s,
        "request_data": dict(options.request_data),
    }


def seconds(text: str) -> float:
    """Return a positive number of seconds. Raises what argparse makes an error of the option of."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return seconds


def _request_data(text: str) -> tuple[str, RequestDataValue]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
