"""The truth table for rows of other keys than a user's: Int32, Int64 and composite, before Feast's own server.

Each case of `test_truth_table`, by GetOnlineFeatures, on each of the online stores.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from any_gateway import gateway_before
from any_repo_rows import FRESH, OLD
from feast.protos.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from feast_beside import Beside, Column, Question
from feast_beside_model import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT
from feast_contract import read_contract

if TYPE_CHECKING:
    from any_repo import AnyRepo


@dataclass(frozen=True)
class Case:
    """One row of the truth table: a key, and a feature of its row."""

    reference: str
    key: dict[str, Any]
    value: float | str | None
    event_timestamp: datetime | None
    status: int


CASES = [
    Case("driver_fv:rating", {"driver_id": 1}, 4.5, FRESH, PRESENT),
    Case("driver_fv:rating", {"driver_id": 2**40}, 5.0, FRESH, PRESENT),
    Case("driver_fv:rating", {"driver_id": 2}, 3.5, OLD, OUTSIDE_MAX_AGE),
    Case("driver_fv:rating", {"driver_id": 3}, None, FRESH, NULL_VALUE),
    Case("driver_fv:rating", {"driver_id": 9}, None, None, NOT_FOUND),
    Case("shop_fv:title", {"shop_id": 1}, "Corner shop", FRESH, PRESENT),
    # The view has no maximum age.
    Case("shop_fv:title", {"shop_id": 2}, "Bakery", OLD, PRESENT),
    Case("shop_fv:title", {"shop_id": -(2**31)}, None, FRESH, NULL_VALUE),
    Case("shop_fv:title", {"shop_id": 9}, None, None, NOT_FOUND),
    Case("driver_city_fv:tips", {"driver_id": 1, "city_code": "LIS"}, 12.5, FRESH, PRESENT),
    Case("driver_city_fv:tips", {"driver_id": 1, "city_code": "OPO"}, 6.0, OLD, OUTSIDE_MAX_AGE),
    Case("driver_city_fv:tips", {"driver_id": 2, "city_code": "LIS"}, None, FRESH, NULL_VALUE),
    Case("driver_city_fv:tips", {"driver_id": 3, "city_code": "LIS"}, None, OLD, NULL_VALUE),
    # Each part of the key has rows, and the key has none.
    Case("driver_city_fv:tips", {"driver_id": 2, "city_code": "OPO"}, None, None, NOT_FOUND),
    Case("delivery_fv:minutes", {"shop_id": 1, "driver_id": 1, "city_code": "LIS"}, 12.5, FRESH, PRESENT),
    Case("delivery_fv:minutes", {"shop_id": 1, "driver_id": 2, "city_code": "LIS"}, None, FRESH, NULL_VALUE),
    Case("delivery_fv:minutes", {"shop_id": 2, "driver_id": 1, "city_code": "LIS"}, None, None, NOT_FOUND),
]


@pytest.fixture(scope="module", params=["sqlite", "redis", pytest.param("postgres", marks=pytest.mark.slow)])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    repo: AnyRepo = request.getfixturevalue(f"any_repo_on_{request.param}")
    url = request.getfixturevalue(f"feast_serve_on_{request.param}")
    logs = tmp_path_factory.mktemp("gateway")
    with (
        gateway_before(url, contract=repo.contract, logs=logs, GATEWAY_DRAIN_PAUSE_S="0") as gateway,
        grpc.insecure_channel(gateway.target) as channel,
    ):
        stub = ServingServiceStub(channel)  # type: ignore[no-untyped-call]
        yield Beside(repo, read_contract(repo.contract), stub, listen=None, target=gateway.target)


def _cell(column: Column, row: int) -> tuple[Any, int, int]:
    value = column.values[row]
    return (value[1][0] if value else None), column.statuses[row], column.stamps_ns[row]


def _expected(case: Case) -> tuple[Any, int, int]:
    stamp_ns = int(case.event_timestamp.timestamp()) * 1_000_000_000 if case.event_timestamp else 0
    return case.value, case.status, stamp_ns


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reference}-{'-'.join(map(str, case.key.values()))}")
def test_the_gateway_tells_the_cases_apart(served: Beside, case: Case) -> None:
    question = Question((case.reference,), {name: [value] for name, value in case.key.items()})
    assert _cell(served.ask_gateway(question)[-1], 0) == _expected(case)


@pytest.mark.parametrize("reference", dict.fromkeys(case.reference for case in CASES))
def test_the_cases_of_a_view_are_told_apart_in_one_call(served: Beside, reference: str) -> None:
    cases = [case for case in CASES if case.reference == reference]
    columns = {name: [case.key[name] for case in cases] for name in cases[0].key}
    column = served.ask_gateway(Question((reference,), columns))[-1]
    assert [_cell(column, row) for row in range(len(cases))] == [*map(_expected, cases)]
