"""Rows of any entity: each caller gets the rows of its own keys, in its order, however reads are merged."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from any_entity import any_entity_content, computed
from feature_gateway.access.caller import ANYONE
from feature_gateway.errors import GatewayError
from feature_gateway.lookup.query import RowFailure
from feature_gateway.values import FeatureStatus, Row
from gateway_fakes import EVENT_TIMESTAMP, NEVER_WRITTEN
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup_bed import looking_up
from row_fakes import values_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_KEYS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6)


@given(callers=st.lists(st.tuples(_KEYS, st.permutations(["trip_fv:trips", "trip_fv:last"])), min_size=1, max_size=8))
@settings(max_examples=15, deadline=None)
def test_each_caller_gets_the_rows_of_its_own_composite_keys(
    tmp_path_factory: pytest.TempPathFactory, callers: list[tuple[list[tuple[int, int]], list[str]]]
) -> None:
    async def run() -> None:
        async with looking_up(any_entity_content(), tmp_path_factory.mktemp("contract")) as (lookup, _):
            sets = [lookup.contract.feature_set_of_references(references) for _, references in callers]
            answers = await asyncio.gather(
                *(
                    lookup.rows(
                        feature_set,
                        {"shop_id": [shop for _, shop in keys], "driver_id": [driver for driver, _ in keys]},
                        caller=ANYONE,
                        remaining_s=None,
                    )
                    for feature_set, (keys, _) in zip(sets, callers, strict=True)
                )
            )
        for (keys, references), rows in zip(callers, answers, strict=True):
            values = [values_of(row) for row in rows if isinstance(row, Row)]
            texts = [f"{driver}-{shop}" for driver, shop in keys]
            sums = [driver + shop for driver, shop in keys]
            trips_first = references[0] == "trip_fv:trips"
            assert values == list(zip(sums, texts, strict=True) if trips_first else zip(texts, sums, strict=True))

    asyncio.run(run())


async def test_equal_rows_are_read_once_and_the_request_has_all_columns(tmp_path: Path) -> None:
    async with looking_up(any_entity_content(), tmp_path) as (lookup, fake):
        feature_set = lookup.contract.feature_set_of_service("trips_v1")
        columns = {"driver_id": [1, 2, 1], "shop_id": [7, 7, 7]}
        rows = await lookup.rows(feature_set, columns, caller=ANYONE, remaining_s=None)
    assert [values_of(row)[0] for row in rows if isinstance(row, Row)] == [8, 9, 8]
    (request,) = fake.requests
    assert request["entities"] == {"driver_id": [1, 2], "shop_id": [7, 7]}


async def test_a_service_with_aliases_is_asked_for_by_name_and_answers_by_its_names(tmp_path: Path) -> None:
    async with looking_up(any_entity_content(), tmp_path) as (lookup, fake):

        async def answer(request: web.Request) -> web.Response:
            body = await request.json()
            starts, ends = body["entities"]["from_id"], body["entities"]["to_id"]
            columns = {"to__visits": [len(end) for end in ends], "from__visits": [len(start) for start in starts]}
            return web.json_response(
                {
                    "metadata": {"feature_names": [*columns]},
                    "results": [
                        {"values": values, "event_timestamps": [EVENT_TIMESTAMP] * len(values)}
                        for values in columns.values()
                    ],
                }
            )

        fake.answer = answer
        stops = lookup.contract.feature_set_of_service("stops_v1")
        rows = await lookup.rows(
            stops, {"to_id": ["b", "cc"], "from_id": ["aaa", "dddd"]}, caller=ANYONE, remaining_s=None
        )
    assert [values_of(row) for row in rows if isinstance(row, Row)] == [(3, 1), (4, 2)]
    (request,) = fake.requests
    assert request == {
        "feature_service": "stops_v1",
        "entities": {"from_id": ["aaa", "dddd"], "to_id": ["b", "cc"]},
        "full_feature_names": True,
    }


async def test_rows_are_judged_by_their_views_maximum_ages(tmp_path: Path) -> None:
    def value_of(name: str, row: dict[str, int]) -> tuple[int | None, str]:
        return (1, EVENT_TIMESTAMP) if row["driver_id"] == 1 and name != "trip_fv__last" else (None, NEVER_WRITTEN)

    async with looking_up(any_entity_content(), tmp_path) as (lookup, fake):
        fake.answer = computed(value_of)
        feature_set = lookup.contract.feature_set_of_references(["trip_fv:trips", "driver_fv:rating"])
        columns = {"driver_id": [1, 2], "shop_id": [7, 7]}
        old, absent = await lookup.rows(feature_set, columns, caller=ANYONE, remaining_s=None)
    assert isinstance(old, Row)
    assert isinstance(absent, Row)
    assert old.judgement.statuses == (FeatureStatus.OUTSIDE_MAX_AGE, FeatureStatus.PRESENT)
    assert absent.judgement.statuses == (FeatureStatus.NOT_FOUND, FeatureStatus.NOT_FOUND)


async def test_a_wrong_value_is_the_error_of_its_row_alone(tmp_path: Path) -> None:
    async with looking_up(any_entity_content(), tmp_path) as (lookup, fake):
        fake.answer = computed(lambda _, row: ("SECRET" if row["driver_id"] == 2 else 0.5, EVENT_TIMESTAMP))
        feature_set = lookup.contract.feature_set_of_service("driver_v1")
        for ids, wrong in (([1, 2], 1), ([2], 0)):
            rows = await lookup.rows(feature_set, {"driver_id": ids}, caller=ANYONE, remaining_s=None)
            failure = rows[wrong]
            assert isinstance(failure, RowFailure)
            assert failure.error.reason == ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH
            assert "SECRET" not in failure.error.message
            assert [values_of(row) for row in rows if isinstance(row, Row)] == [(0.5,)] * wrong


async def test_a_row_that_no_column_takes_is_refused_ahead_of_any_read(tmp_path: Path) -> None:
    async with looking_up(any_entity_content(), tmp_path) as (lookup, fake):
        feature_set = lookup.contract.feature_set_of_service("trips_v1")
        with pytest.raises(GatewayError, match="shop_id takes Int32"):
            await lookup.rows(
                feature_set, {"driver_id": [1, 2], "shop_id": [1, 2**31]}, caller=ANYONE, remaining_s=None
            )
        assert not fake.requests
