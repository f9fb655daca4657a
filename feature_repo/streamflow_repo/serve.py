"""Feast's own command line, with what makes `feast serve` cheaper and steadier.

The online store is this repository's, which asks Redis once for each user. Event timestamps are remembered as text:
Feast formats the same one anew for every value, a quarter of a read's time. And the garbage collector is kept off what
the start leaves in memory: a full collection goes through all that importing Feast has made, and holds every request
up for longer than a hundred reads take. What is frozen before the workers are forked is left out of it, and stays
shared between them.
"""

import gc
import json
import os
from functools import lru_cache
from typing import Any

from feast import feature_server_utils
from feast.cli.cli import cli
from google.protobuf.timestamp_pb2 import Timestamp

_ONLINE_STORE = "streamflow_repo.online_store.OneReadRedisOnlineStore"


def main() -> None:
    """Run Feast with this process's arguments."""
    os.environ["FEAST_ONLINE_STORE"] = json.dumps(_ONLINE_STORE)
    remember_timestamps()
    os.register_at_fork(before=_freeze)
    cli()


def remember_timestamps() -> None:
    """Have Feast's replies format each event timestamp once; raise AttributeError when Feast does it elsewhere."""
    format_anew = feature_server_utils._timestamp_to_str  # noqa: SLF001  # there is no other place to stand in

    # A month's snapshot stamps all its users alike, so few are ever seen at once.
    @lru_cache(maxsize=4096)
    def formatted(seconds: int, nanos: int) -> str:
        return format_anew(Timestamp(seconds=seconds, nanos=nanos))

    def timestamp_to_str(ts: Any) -> str:
        return formatted(ts.seconds, ts.nanos)

    feature_server_utils._timestamp_to_str = timestamp_to_str  # noqa: SLF001  # the same


def _freeze() -> None:
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main()
