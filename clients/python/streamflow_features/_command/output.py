"""What the subcommands print: tables for people, JSON for programs."""

import base64
import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from streamflow_features._features import UserFeatures
from streamflow_features._text import in_columns, shown
from streamflow_features._values import UnknownValue, Value

Row = Sequence[str]


def put_table(heads: Row | None, rows: Iterable[Row]) -> None:
    """Print rows in columns, below their heads."""
    sys.stdout.writelines(f"{line}\n" for line in in_columns([*([] if heads is None else [heads]), *rows]))


def put_json(content: Any, *, indent: int | None = 2) -> None:
    """Print JSON; without `indent`, on one line."""
    sys.stdout.write(json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def table_of(features: UserFeatures) -> tuple[Row, Sequence[Row]]:
    """Return the heads and the rows of a user's features."""
    rows = [(name, *cells_of(features, name)) for name in features]
    return ("feature", "value", "status", "event timestamp"), rows


def cells_of(features: UserFeatures, name: str) -> tuple[str, str, str]:
    """Return what a feature's row has behind the name: value, status, event timestamp."""
    return shown(features[name]), features.statuses[name].name, _moment(features.event_timestamps[name]) or "-"


def json_of(features: UserFeatures) -> dict[str, Any]:
    """Return a user's features in the form of the gateway's HTTP API."""
    return {
        "user_id": features.user_id,
        "user_known": features.user_known,
        "features": {name: _json_value(value) for name, value in features.items()},
        "statuses": {name: status.name for name, status in features.statuses.items()},
        "event_timestamps": {name: _moment(stamp) for name, stamp in features.event_timestamps.items()},
        "contract_hash": features.contract_hash,
        **({} if features.stale_age_s is None else {"stale_age_s": features.stale_age_s}),
    }


def _json_value(value: Value) -> Any:
    """Return a value as protobuf's JSON mapping has it, but 64-bit integers as numbers."""
    if isinstance(value, tuple):
        return [_json_value(element) for element in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, UnknownValue):
        return {"unknown_field": value.field_number}
    return value


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
