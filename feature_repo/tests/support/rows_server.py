"""A running feature server that is asked for rows."""

import http.client
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import yaml
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType, types
from streamflow_local import ports
from streamflow_local.process import ProcessSpec
from streamflow_local.testing import running, wait_for_port

BOUND_S = 60
_START_S = 240

USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
NAME_VIEW = FeatureView(
    name="name_fv",
    entities=[USER],
    schema=[Field(name="name", dtype=types.String), Field(name="user_id", dtype=types.String)],
    source=FileSource(name="unread", path="unread.parquet", timestamp_field="event_timestamp"),
)
"""The name of a user, for what is not about types."""


class Server:
    """A running feature server over a store, whose data it shares."""

    def __init__(self, port: int, store: FeatureStore, log: Path) -> None:
        self._port = port
        self.log = log
        self.store = store

    def ask(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "", **headers: str
    ) -> tuple[int, str, bytes]:
        """Status, type and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=BOUND_S)
        try:
            connection.request(method, path, body, headers | ({"Content-Type": content_type} if content_type else {}))
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read()
        finally:
            connection.close()

    def post(self, references: Any, columns: Any) -> tuple[int, str, bytes]:
        body = msgspec.msgpack.encode([msgspec.msgpack.encode(references), columns])
        return self.ask("POST", "/rows/v1", body)

    def rows(self, references: list[str], columns: dict[str, list[Any]]) -> tuple[list[str], list[list[bytes | None]]]:
        status, content_type, body = self.post(references, columns)
        assert (status, content_type) == (200, "application/x-msgpack"), body
        views, rows = msgspec.msgpack.decode(body)
        return views, rows

    def feasts(self, references: list[str], columns: dict[str, list[Any]]) -> tuple[int, bytes]:
        """What /get-online-features answers to the same."""
        question = json.dumps({"features": references, "entities": columns, "full_feature_names": True}).encode()
        status, _, body = self.ask("POST", "/get-online-features", question, "application/json")
        return status, body


def repository(folder: Path, connection_string: str, **settings: Any) -> FeatureStore:
    """Write a Feast repository over Redis, and return its store; `settings` are of feature_store.yaml."""
    content = {
        "project": "rows",
        "provider": "local",
        "registry": str(folder / "registry.db"),
        "online_store": {"type": "redis", "connection_string": connection_string},
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
        **settings,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return FeatureStore(repo_path=str(folder))


@contextmanager
def serving(store: FeatureStore, folder: Path, **variables: str) -> Iterator[Server]:
    """Run the stack's feature server on a repository for the length of a block; `variables` are of its environment."""
    port, log = ports.free_port(), folder / "server.log"
    spec = ProcessSpec(
        name="server",
        command=(
            *(sys.executable, "-m", "streamflow_repo.server", "serve"),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--registry_ttl_sec", "1"),
        ),
        environment={"PYTHONOPTIMIZE": "1", "FEATURE_SERVER": "streamflow", **variables},
        directory=folder,
        port=port,
    )
    with running(spec, log=log):
        wait_for_port(port, log=log, timeout_s=_START_S)
        yield Server(port, store, log)
