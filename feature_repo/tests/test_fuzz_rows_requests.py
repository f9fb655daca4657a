"""Mutated and random requests of the route /rows/v1: rows or a refusal, and memory stays flat.

FUZZ_REQUESTS sets how many (2,000 by default), FUZZ_SEED which. A long run needs --timeout=0.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import yaml
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType, types
from mutations import INPUTS, Memory, generator, mutated, with_odd_parts
from streamflow_repo.server.rows import route
from streamflow_repo.server.rows.reader import RowsReader

_SOURCE = FileSource(name="unread", path="unread.parquet", timestamp_field="event_timestamp")
_user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
_plan = Entity(name="plan", join_keys=["plan_id"], value_type=ValueType.INT64)
_KEYS = {"user_id": types.String, "plan_id": types.Int64}
_COLUMNS: dict[str, list[Any]] = {"user_id": ["a", "é", ""], "plan_id": [1, -(2**63), 7]}
_REFERENCES = ["user_fv:s", "user_fv:i", "plan_fv:s", "both_fv:f"]
_ODD_REFERENCES = ["user_fv:gone", "gone_fv:s", "", ":", "user_fv", "a:b:c", "user_fv@v1:s", "x" * 1000]
_STATUSES = {200, 404, 413, 422, 500}


def _view(name: str, entities: list[Entity], **features: Any) -> FeatureView:
    schema = [Field(name=feature, dtype=dtype) for feature, dtype in features.items()]
    schema += [Field(name=entity.join_key, dtype=_KEYS[entity.join_key]) for entity in entities]
    return FeatureView(name=name, entities=entities, schema=schema, source=_SOURCE)


@pytest.fixture
def store(redis_url: str, tmp_path: Path) -> FeatureStore:
    settings = {
        "project": "fuzz",
        "provider": "local",
        "registry": str(tmp_path / "registry.db"),
        "online_store": {"type": "redis", "connection_string": redis_url.removeprefix("redis://")},
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
    }
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    store = FeatureStore(repo_path=str(tmp_path))
    views = [
        _view("user_fv", [_user], s=types.String, i=types.Int64),
        _view("plan_fv", [_plan], s=types.String),
        _view("both_fv", [_user, _plan], f=types.Float64),
    ]
    store.apply([_user, _plan, *views])
    return store


@pytest.fixture
async def app(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    async def following(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("the route did not answer")

    # It logs each failure with its traceback.
    monkeypatch.setattr(route._log, "disabled", True)
    yield route._Route(following, RowsReader(store), [])
    online_store: Any = store._get_provider().online_store
    client = await online_store._get_client_async(store.config.online_store)
    await client.aclose()


async def _status(app: Any, body: bytes, cuts: int) -> tuple[int, bytes]:
    """Status and body of the answer to a body that comes in parts."""
    size = len(body) // cuts + 1
    parts = [body[at : at + size] for at in range(0, max(len(body), 1), size)]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "path": "/rows/v1", "method": "POST"}, receive, send)
    start, end = sent
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(end["body"])
    return start["status"], end["body"]


def _question(rng: Random) -> tuple[list[Any], dict[str, list[Any]]]:
    references: list[Any] = rng.sample(_REFERENCES, rng.randrange(1, 4))
    if rng.random() < 0.2:
        references.append(rng.choice(_ODD_REFERENCES))
    names = [name for name in _COLUMNS if rng.random() < 0.9]
    return references, {name: _COLUMNS[name] for name in names}


async def test_a_request_for_rows_is_answered_or_refused(app: Any) -> None:
    rng, memory, outcomes = generator(), Memory(), Counter[int]()
    for done in range(INPUTS):
        references, columns = _question(rng)
        if rng.random() < 0.3:
            references, columns = with_odd_parts(rng, references), with_odd_parts(rng, columns)
        body = msgspec.msgpack.encode([msgspec.msgpack.encode(references), columns])
        if rng.random() < 0.4:
            body = mutated(rng, body)
        status, content = await _status(app, body, cuts=rng.randrange(1, 4))
        outcomes[status] += 1
        assert status in _STATUSES
        if status == 200:
            views, rows = msgspec.msgpack.decode(content)
            selection, asked = msgspec.msgpack.decode(body)
            width = len(views) + len(msgspec.msgpack.decode(selection))
            assert {len(row) for row in rows} == {width}
            assert {len(rows)} == {len(values) for values in asked.values()}
        else:
            assert json.loads(content)
        memory.look(done)
    assert min(outcomes[200], outcomes[404], outcomes[422]) > INPUTS / 50
    memory.assert_flat()
