"""On-demand features: callers share reads only where rows are apart, and a function's failure is one row's."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from feature_gateway.access.caller import ANYONE
from feature_gateway.errors import GatewayError, UpstreamUnavailableError
from feature_gateway.lookup.last_known import LastKnown
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.lookup.query import RowFailure
from feature_gateway.lookup.stale_if_down import StaleIfDown
from feature_gateway.observer import Observer
from feature_gateway.readiness.canary import CanaryRead
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.values import FeatureStatus, Row
from gateway_fakes import running_feature_server, written_contract
from lookup_bed import lookup_before
from on_demand import Functions, on_demand_content
from row_fakes import values_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_FAILED = ErrorReason.ERROR_REASON_TRANSFORMATION_FAILED


class Counts(Observer):
    """Counts what must not happen for a function's failure."""

    retries = 0
    ejections = 0

    def read_retried(self) -> None:
        self.retries += 1

    def replica_ejected(self) -> None:
        self.ejections += 1


@asynccontextmanager
async def _bed(
    folder: Path, functions: Functions, counts: Counts, *, servers: int = 2
) -> AsyncIterator[tuple[Lookup, ReplicaPool]]:
    path = written_contract(folder, on_demand_content())
    async with running_feature_server() as fake:
        fake.answer = fake.canary_answer = functions
        urls = [f"{fake.url}/{number}" for number in range(servers)]
        async with lookup_before(urls, path, observer=counts) as bed:
            yield bed


async def _ask(lookup: Lookup, output: str, *minutes: float) -> list[Row | RowFailure]:
    feature_set = lookup.contract.feature_set_of_references([f"{output}:{output}_out"])
    columns: dict[str, list[Any]] = {"minutes": list(minutes)}
    if output != "plain":
        columns |= {"driver_id": [1] * len(minutes), "shop_id": [1] * len(minutes)}
    return await lookup.rows(feature_set, columns, caller=ANYONE, remaining_s=None)


def _values(rows: list[Row | RowFailure]) -> list[Any]:
    return [values_of(row)[0] if isinstance(row, Row) else row.error.reason for row in rows]


async def test_request_data_are_sent_as_their_type_and_a_source_is_read_along(tmp_path: Path) -> None:
    functions = Functions()
    async with _bed(tmp_path, functions, Counts()) as (lookup, _):
        (row,) = await _ask(lookup, "pace", 2)
    (request,) = functions.requests
    assert repr(request["entities"]["minutes"]) == "[2.0]"
    assert request["features"] == ["pace:pace_out", "trip_fv:last"]
    assert request["full_feature_names"] is False
    assert isinstance(row, Row)
    assert len(row.values) == 1
    # Its source row is from 2024, and the view's maximum age is a minute.
    assert row.judgement.statuses == (FeatureStatus.OUTSIDE_MAX_AGE,)


_CALLS = [[1.0, 2.0, 1.0], [4.0], [5.0, 5.0]]


async def test_rows_that_may_depend_on_each_other_are_read_call_by_call_as_they_are_sent(tmp_path: Path) -> None:
    functions = Functions()
    async with _bed(tmp_path, functions, Counts(), servers=1) as (lookup, _):
        answers = await asyncio.gather(*(_ask(lookup, "share", *call) for call in _CALLS))
    assert [_values(rows) for rows in answers] == _CALLS
    assert sorted(functions.with_outputs) == _CALLS


async def test_rows_of_a_function_that_takes_one_are_read_one_by_one(tmp_path: Path) -> None:
    functions = Functions()
    async with _bed(tmp_path, functions, Counts(), servers=1) as (lookup, _):
        answers = await asyncio.gather(*(_ask(lookup, "alone", *call) for call in _CALLS))
    assert [_values(rows) for rows in answers] == _CALLS
    assert all(len(minutes) == 1 for minutes in functions.with_outputs)


async def test_callers_whose_rows_are_apart_share_reads(tmp_path: Path) -> None:
    functions = Functions()
    async with _bed(tmp_path, functions, Counts(), servers=1) as (lookup, _):
        answers = await asyncio.gather(*(_ask(lookup, "pace", number) for number in range(20)))
    assert [_values(rows) for rows in answers] == [[float(number)] for number in range(20)]
    assert len(functions.requests) < 5


async def test_a_function_that_raises_fails_its_row_alone_and_is_nobodys_outage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    functions, counts = Functions(raises={3.0, 7.0}), Counts()
    async with _bed(tmp_path, functions, counts) as (lookup, pool):
        rows = await _ask(lookup, "pace", *range(10))
        alone = await asyncio.gather(*(_ask(lookup, "pace", number) for number in range(10)))
        plain = await _ask(lookup, "plain", *range(10))
        assert pool.ejected == 0
    expected = [_FAILED if number in {3, 7} else float(number) for number in range(10)]
    assert _values(rows) == _values([row for (row,) in alone]) == _values(plain) == expected
    assert (counts.retries, counts.ejections) == (0, 0)
    failure = rows[3]
    assert isinstance(failure, RowFailure)
    assert "SECRET" not in failure.error.message
    assert "SECRET" not in caplog.text


async def test_a_store_that_is_down_is_an_outage_for_on_demand_features_too(tmp_path: Path) -> None:
    functions, counts = Functions(store_is_down=True), Counts()
    async with _bed(tmp_path, functions, counts) as (lookup, _):
        with pytest.raises(UpstreamUnavailableError):
            await _ask(lookup, "pace", 1)
    assert counts.retries == 1


async def test_a_functions_failure_gets_no_remembered_answer(tmp_path: Path) -> None:
    functions = Functions()
    async with _bed(tmp_path, functions, Counts()) as (lookup, pool):
        last_known = LastKnown(max_age_s=60, max_rows=10, max_bytes=10**6, now_s=time.monotonic)
        lookup._reader = StaleIfDown(lookup._reader, last_known, silent=pool.times.silent)
        await _ask(lookup, "pace", 1)
        functions.raises = {1.0}
        assert _values(await _ask(lookup, "pace", 1)) == [_FAILED]
        functions.store_is_down = True
        assert _values(await _ask(lookup, "pace", 1)) == [1.0]
        # Other request data are another row.
        with pytest.raises(UpstreamUnavailableError):
            await _ask(lookup, "pace", 2)


async def test_a_canary_read_for_which_a_function_raises_is_answered_and_one_without_a_store_is_not(
    tmp_path: Path,
) -> None:
    functions = Functions(raises={1.0})
    read = CanaryRead(feature_service="", user_entity="user", key_text="CANARY", authorization="", timeout_s=5)
    async with _bed(tmp_path, functions, Counts()) as (lookup, pool):
        pace = lookup.contract.feature_set_of_references(["pace:pace_out"])
        await read.read_set(pool.read_from_each, pace)
        await read.read_set(pool.read_rows, pace)
        functions.store_is_down = True
        with pytest.raises(UpstreamUnavailableError):
            await read.read_set(pool.read_from_each, pace)


async def test_selections_that_feast_would_confuse_are_refused_ahead_of_any_read(tmp_path: Path) -> None:
    functions = Functions()
    async with _bed(tmp_path, functions, Counts()) as (lookup, _):
        with pytest.raises(GatewayError) as raised:
            await _ask(lookup, "pace", float("nan"))
        assert raised.value.reason == ErrorReason.ERROR_REASON_REQUEST_DATA_INVALID
        feature_set = lookup.contract.feature_set_of_references(["pace:pace_out"])
        with pytest.raises(GatewayError) as raised:
            await lookup.rows(feature_set, {"driver_id": [1], "shop_id": [1]}, caller=ANYONE, remaining_s=None)
        assert raised.value.reason == ErrorReason.ERROR_REASON_REQUEST_DATA_MISSING
        assert raised.value.metadata == {"name": "minutes", "takes": "Float64, a finite number"}
    assert not functions.requests
