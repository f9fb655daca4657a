"""The subcommand that asks a gateway again and again: watch."""

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import datetime

from streamflow_features._client import FeatureClient
from streamflow_features._command.asking import AddCommand, add_asking, add_selecting, client_of, query_of, seconds
from streamflow_features._command.output import cells_of, json_of, put_json, put_table, table_of
from streamflow_features._errors import DeadlineExceeded, FeatureServingError, ResourceExhausted, Unavailable
from streamflow_features._features import UserFeatures
from streamflow_features._queries import QueryOptions

# What a later call can have got over.
_PASSING = (DeadlineExceeded, ResourceExhausted, Unavailable)
_NOT_SERVED = ("-", "not served", "-")


def add_commands(add: AddCommand) -> None:
    """Add the subcommand to the parser."""
    watch = add(
        "watch",
        help="print a user's features, and then what changes",
        description="Print a user's features, and then each feature that changes. With --json, print all features on"
        " one line whenever one has changed. Ctrl-C ends the command. When a gateway can't answer, the command says"
        " why, and asks it again.",
    )
    add_selecting(watch)
    watch.add_argument(
        "--interval-s", type=seconds, default=1.0, metavar="SECONDS", help="the time between two calls (%(default)s)"
    )
    add_asking(watch)
    watch.set_defaults(run=_watch)


def _watch(options: argparse.Namespace) -> int:
    before: UserFeatures | None = None
    try:
        with client_of(options) as client:
            for features in _asked(client, options.user_id, query_of(options), interval_s=options.interval_s):
                _put(before, features, as_json=options.json)
                before = features
    except KeyboardInterrupt:
        return 0
    return 0


def _asked(client: FeatureClient, user_id: str, query: QueryOptions, *, interval_s: float) -> Iterator[UserFeatures]:
    """Yield the features of each call. Raises the first call's error, and each that another call can't get over."""
    yield client.get_user_features(user_id, **query)
    failed: FeatureServingError | None = None
    while True:
        time.sleep(interval_s)
        try:
            features = client.get_user_features(user_id, **query)
        except _PASSING as error:
            if failed is None or failed.code is not error.code:
                sys.stderr.write(f"streamflow-features: {error.code.name}: {error}\n")
            failed = error
            continue
        failed = None
        yield features


def _put(before: UserFeatures | None, features: UserFeatures, *, as_json: bool) -> None:
    if before is None:
        if as_json:
            put_json(json_of(features), indent=None)
        else:
            put_table(*table_of(features))
    elif changed := _changed(before, features):
        if as_json:
            put_json(json_of(features), indent=None)
        else:
            put_table(None, changed)
    sys.stdout.flush()


def _changed(before: UserFeatures, features: UserFeatures) -> list[tuple[str, ...]]:
    """Return a row for each feature that has another value, status or event timestamp."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    rows: list[tuple[str, ...]] = []
    for name in dict.fromkeys((*before, *features)):
        old, new = (cells_of(one, name) if name in one else _NOT_SERVED for one in (before, features))
        if old != new:
            rows.append((now, name, f"{old[0]} -> {new[0]}", *new[1:]))
    return rows
