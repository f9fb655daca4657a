"""Mutated and random feature servers' answers, contract files and HTTP requests: no crash, and memory stays flat.

FUZZ_REQUESTS sets how many of each (2,000 by default), FUZZ_SEED which. A long run needs --timeout=0.
"""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feature_gateway.contract.content import ContractError
from feature_gateway.contract.file import load_contract
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError
from feature_gateway.readiness.canary_sets import canary_key, trial_sets
from feature_gateway.settings import Settings
from feature_gateway.upstream.feast_json import parse_rows
from gateway_fakes import contract_content, feast_answer, serving, with_hash, written_contract
from list_fakes import LIST_VALUES, with_lists
from list_fakes import SERVICE as LISTS_SERVICE
from mutations import INPUTS, Memory, generator, mutated, with_odd_parts
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_USERS = ["3413-BMNZE", "0000-AAAAA"]
_CALLERS = 64
_PATHS = (
    *("/health", "/ready", "/metrics", "/features/3413-BMNZE", "/features/", "/features/%00", "/features/%ff", "/"),
    *("/features/a%0Ab", "/features/3413-BMNZE?feature=profile_fv:score", "/features/3413-BMNZE?feature=%ff&x=%zz"),
    *("/features/3413-BMNZE?max_age_s=1e999", "/features/3413-BMNZE?timeout_s=0.2", "/features/3413-BMNZE?feature=:"),
    *("/features/3413-BMNZE?contract_hash=%F0%9F", "/features/3413-BMNZE?staleness_policy=fail&max_age_s=1", "//a/.."),
)
_STATUSES = {200, 400, 404, 405, 412, 413, 414, 417, 429, 431, 503, 504}
"""What a request may get; 503 from /ready alone."""


@pytest.mark.parametrize(("service", "values"), [("churn_v1", None), (LISTS_SERVICE, LIST_VALUES)])
def test_an_answer_of_a_feature_server_is_rows_or_a_mismatch(
    tmp_path: Path, service: str, values: dict[str, Any] | None
) -> None:
    rng, memory, outcomes = generator(), Memory(), Counter[str]()
    path = written_contract(tmp_path, with_lists(contract_content()))
    feature_set = load_contract(path).services[service]
    answer = feast_answer({"features": feature_set.references, "entities": {"user_id": _USERS}}, values=values)
    for done in range(INPUTS):
        body = json.dumps(with_odd_parts(rng, answer)).encode()
        try:
            rows = parse_rows(body if rng.random() < 0.5 else mutated(rng, body), feature_set, len(_USERS))
        except GatewayError as error:
            outcomes[ErrorReason.Name(error.reason)] += 1
        else:
            outcomes[f"{len(rows)} rows"] += 1
        memory.look(done)
    assert outcomes.keys() == {"2 rows", "ERROR_REASON_UPSTREAM_MISMATCH"}
    assert min(outcomes.values()) > INPUTS / 50
    memory.assert_flat()


def _asked_for_everything(contract: Contract) -> None:
    for name in [*contract.services, "nope", ""]:
        try:
            contract.feature_set_of_service(name)
        except GatewayError:
            continue
    for column in contract.entities.values():
        if column.pattern is not None:
            column.pattern.fullmatch("3413-BMNZE")
    for view in contract.views.values():
        for feature in view.features.values():
            try:
                contract.feature_set_of_references([feature.reference])
            except GatewayError:
                continue
    for feature_set in trial_sets(contract):
        canary_key(feature_set.columns, "3413-BMNZE")


def test_a_contract_file_is_loaded_or_refused(tmp_path: Path) -> None:
    rng, memory, outcomes = generator(), Memory(), Counter[str]()
    path = tmp_path / "contract.json"
    for done in range(INPUTS):
        content: Any = contract_content()
        # Some parts of most contracts are sound, so that there are contracts to load.
        part = rng.choice([None, *content])
        content = (
            with_odd_parts(rng, content) if part is None else {**content, part: with_odd_parts(rng, content[part])}
        )
        text = json.dumps(with_hash(content) if isinstance(content, dict) else content).encode()
        path.write_bytes(text if rng.random() < 0.7 else mutated(rng, text))
        try:
            _asked_for_everything(load_contract(path))
        except ContractError:
            outcomes["refused"] += 1
        else:
            outcomes["loaded"] += 1
        memory.look(done)
    assert min(outcomes.values()) > INPUTS / 50
    memory.assert_flat()


def test_a_contract_that_python_has_no_room_for_is_refused(tmp_path: Path) -> None:
    def refused(**changes: Any) -> str:
        path = written_contract(tmp_path, {**contract_content(), **changes})
        return refusal(path)

    def refusal(path: Path) -> str:
        try:
            load_contract(path)
        except ContractError as error:
            return str(error)
        return ""

    nested = tmp_path / "nested.json"
    nested.write_text("[" * 100_000)
    assert "is not JSON" in refusal(nested)
    (entity,) = contract_content()["entities"]
    assert "has not the form of a contract" in refused(entities=[{**entity, "pattern": "a{99999999999}"}])
    assert "has not the form of a contract" in refused(entities=[{**entity, "pattern": "(" * 10_000 + ")" * 10_000}])
    views = contract_content()["feature_views"]
    views[0]["max_age_s"] = 10**400
    assert "has not the form of a contract" in refused(feature_views=views)


async def test_no_http_request_gets_more_than_a_refusal(settings: Settings) -> None:
    rng, memory, outcomes = generator(), Memory(), Counter[int]()
    surprises: list[tuple[int, bytes]] = []
    left = iter(range(INPUTS))

    async with serving(replace(settings, http_keepalive_s=0.3, max_http_connections=10 * _CALLERS)) as gateway:
        host, port = gateway.addresses.http.split(":")

        async def status_of(request: bytes) -> int:
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(request)
                line = await reader.readline()
            except ConnectionResetError:
                line = b""
            finally:
                writer.close()
            return int(line.split()[1]) if line else 0

        async def caller() -> None:
            for done in left:
                method = rng.choice(("GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "G\x00T"))
                headers = rng.choice(
                    ("", "Authorization: é\r\n", "Content-Length: -1\r\n", "Transfer-Encoding: chunked\r\n")
                )
                path = rng.choice(_PATHS)
                request = f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n{headers}\r\n".encode()
                request = request if rng.random() < 0.5 else mutated(rng, request)
                status = await status_of(request)
                outcomes[status] += 1
                if status not in _STATUSES | {0} or (status == 503 and b"/ready" not in request):
                    surprises.append((status, request))
                memory.look(done)

        await asyncio.gather(*(caller() for _ in range(_CALLERS)))
        assert await status_of(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n") == 200
    assert surprises == []
    assert min(outcomes[200], outcomes[400], outcomes[404]) > INPUTS / 50
    memory.assert_flat()
