"""Mutated and random replies of feature servers, of the rows route and of HTTP itself: no crash, and memory stays flat.

FUZZ_REQUESTS sets how many of each (2,000 by default), FUZZ_SEED which. A long run needs --timeout=0.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.file import load_contract
from feature_gateway.errors import GatewayError, WrongValueError
from feature_gateway.upstream.connection import Connection, ConnectionFailedError
from feature_gateway.upstream.feast_json import parse_rows
from feature_gateway.upstream.rows_route import parse
from feature_gateway.values import Row
from gateway_fakes import contract_content, feast_answer, written_contract
from list_fakes import LIST_VALUES, with_lists
from list_fakes import SERVICE as LISTS_SERVICE
from mutations import INPUTS, Memory, generator, mutated, with_odd_parts
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_USERS = ["3413-BMNZE", "0000-AAAAA"]
_STAMP = b"\x08\x80\xf0\xff\xae\x06"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
_REPLIES = (
    *(_OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\nX: y\r\n\r\n"),
    *(b"HTTP/1.1 200 OK\r\n\r\nhi", b"HTTP/1.1 100 Continue\r\n\r\n" + _OK, b"HTTP/1.1 204 No Content\r\n\r\n"),
    *(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", b"HTTP/1.1 304 \r\n\r\n"),
    *(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\n\r\n"),
    *(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
)


def _stored(feature_set: FeatureSet, values: dict[str, Any] | None) -> list[Any]:
    """A reply of the rows route, as it is before msgpack."""
    answer = feast_answer({"features": feature_set.references, "entities": {"user_id": _USERS}}, values=values)
    rows = [row for row in parse_rows(json.dumps(answer).encode(), feature_set, len(_USERS)) if isinstance(row, Row)]
    views = list(dict.fromkeys(feature.view for feature in feature_set.read_features))
    return [views, [[*[_STAMP] * len(views), *row.values] for row in rows]]


def _with_odd_cells(rng: Random, reply: list[Any]) -> list[Any]:
    views, rows = reply
    return [views, [[mutated(rng, cell) if cell and rng.random() < 0.1 else cell for cell in row] for row in rows]]


@pytest.mark.parametrize(("service", "values"), [("churn_v1", None), (LISTS_SERVICE, LIST_VALUES)])
def test_a_reply_of_the_rows_route_is_rows_or_a_mismatch(
    tmp_path: Path, service: str, values: dict[str, Any] | None
) -> None:
    rng, memory, outcomes = generator(), Memory(), Counter[str]()
    feature_set = load_contract(written_contract(tmp_path, with_lists(contract_content()))).services[service]
    reply = _stored(feature_set, values)
    for done in range(INPUTS):
        content = _with_odd_cells(rng, reply)
        body = msgspec.msgpack.encode(content if rng.random() < 0.5 else with_odd_parts(rng, content))
        try:
            rows = parse(body if rng.random() < 0.5 else mutated(rng, body), feature_set, len(_USERS))
        except GatewayError as error:
            outcomes[ErrorReason.Name(error.reason)] += 1
        else:
            assert len(rows) == len(_USERS)
            outcomes["a wrong row" if any(isinstance(row, WrongValueError) for row in rows) else "rows"] += 1
        memory.look(done)
    assert outcomes.keys() == {"rows", "a wrong row", "ERROR_REASON_UPSTREAM_MISMATCH"}
    assert min(outcomes.values()) > INPUTS / 50
    memory.assert_flat()


class _Transport(asyncio.Transport):
    """A connection to nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send nothing."""

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


async def _asked(connection: Connection, transport: _Transport, parts: Sequence[bytes], *, ends: bool) -> str:
    """What a request gets if these parts come, and then the connection's end."""
    request = asyncio.ensure_future(connection.request(b"", b""))
    await asyncio.sleep(0)
    for part in parts:
        if part and not transport.aborted:
            connection.data_received(part)
    if ends or transport.aborted:
        connection.connection_lost(None)
    await asyncio.sleep(0)
    if not request.done() and not ends:
        # It waits for more.
        connection.connection_lost(None)
        await asyncio.sleep(0)
    assert request.done()
    try:
        status, body = request.result()
    except ConnectionFailedError:
        return "failed"
    assert 0 <= status <= 999
    return f"answered {status} {body!r}"


async def test_bytes_of_a_server_are_an_answer_or_a_failed_connection() -> None:
    rng, memory, outcomes = generator(), Memory(), Counter[str]()
    for done in range(INPUTS):
        sent = rng.choice(_REPLIES)
        for _ in range(rng.randrange(3)):
            sent = mutated(rng, sent)
        cut = rng.randrange(len(sent) + 1)
        transport, connection = _Transport(), Connection(ended=lambda _: None)
        connection.connection_made(transport)
        outcome = await _asked(connection, transport, [sent[:cut], sent[cut:]], ends=rng.random() < 0.5)
        outcomes[outcome.partition(" ")[0]] += 1
        if not connection.closed:
            # Nothing of the first answer is in the second.
            assert await _asked(connection, transport, [_OK], ends=False) == "answered 200 b'hi'", sent
            outcomes["asked again"] += 1
        memory.look(done)
    assert min(outcomes[kind] for kind in ("answered", "failed", "asked again")) > INPUTS / 50
    memory.assert_flat()
