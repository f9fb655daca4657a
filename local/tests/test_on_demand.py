"""On-demand features before Feast's own feature server: checked, merged only where they may be, and truly judged."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from any_repo import AnyRepo
from any_repo_rows import FRESH, OLD
from feast_contract import build_contract, write_contract
from feast_contract.registry import read_definitions
from feature_gateway.access.caller import ANYONE
from feature_gateway.errors import GatewayError
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.lookup.query import RowFailure
from feature_gateway.readiness.canary import Canary, CanaryRead
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.values import FeatureStatus, Row
from lookup_bed import lookup_before
from row_fakes import values_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_P, _N, _F, _O = (
    FeatureStatus.PRESENT,
    FeatureStatus.NULL_VALUE,
    FeatureStatus.NOT_FOUND,
    FeatureStatus.OUTSIDE_MAX_AGE,
)
_TRIPS = {1: 30, 2: 10, 3: 7}
_FRESH_NS, _OLD_NS = (int(stamp.timestamp()) * 1_000_000_000 for stamp in (FRESH, OLD))


@pytest.fixture(scope="module")
def contract(any_repo_on_sqlite: AnyRepo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contract") / "contract.json"
    write_contract(build_contract(read_definitions(any_repo_on_sqlite.folder)), path)
    return path


@pytest.fixture
async def bed(contract: Path, feast_serve_on_sqlite: str) -> AsyncIterator[tuple[Lookup, ReplicaPool]]:
    async with lookup_before([feast_serve_on_sqlite], contract) as running:
        yield running


@pytest.fixture
def lookup(bed: tuple[Lookup, ReplicaPool]) -> Lookup:
    return bed[0]


async def _rows(lookup: Lookup, references: Sequence[str], **columns: list[Any]) -> list[Row | RowFailure]:
    feature_set = lookup.contract.feature_set_of_references(references)
    return await lookup.rows(feature_set, columns, caller=ANYONE, remaining_s=None)


async def _good_rows(lookup: Lookup, references: Sequence[str], **columns: list[Any]) -> list[Row]:
    rows = await _rows(lookup, references, **columns)
    assert all(isinstance(row, Row) for row in rows), rows
    return [row for row in rows if isinstance(row, Row)]


def _first(rows: Sequence[Row]) -> list[tuple[Any, FeatureStatus, int | None]]:
    return [(values_of(row)[0], row.judgement.statuses[0], row.judgement.event_timestamps_ns[0]) for row in rows]


async def test_an_output_is_judged_by_the_row_that_it_is_computed_from(lookup: Lookup) -> None:
    rows = await _good_rows(lookup, ["driver_quality:quality"], driver_id=[1, 2, 3, 9])
    assert _first(rows) == [
        (2.25, _P, _FRESH_NS),
        (0.875, _O, _OLD_NS),
        (None, _N, _FRESH_NS),
        (None, _F, None),
    ]
    assert [row.judgement.known for row in rows] == [True, True, True, False]


async def test_an_output_beside_renamed_views_is_judged_by_the_row_that_it_is_computed_from(lookup: Lookup) -> None:
    feature_set = lookup.contract.feature_set_of_service("quality_v1")
    columns: dict[str, list[Any]] = {"driver_id": [1, 2, 3, 9]}
    rows = await lookup.rows(feature_set, columns, caller=ANYONE, remaining_s=None)
    assert [feature.full_name for feature in feature_set.features] == ["courier__rating", "driver_quality__quality"]
    read = [row for row in rows if isinstance(row, Row)]
    judged = [(row.judgement.statuses[1], row.judgement.event_timestamps_ns[1]) for row in read]
    assert [*zip(map(values_of, read), judged, strict=True)] == [
        ((4.5, 2.25), (_P, _FRESH_NS)),
        ((3.5, 0.875), (_O, _OLD_NS)),
        ((None, None), (_N, _FRESH_NS)),
        ((None, None), (_F, None)),
    ]


async def test_an_output_of_two_source_rows_is_as_old_as_the_older_and_too_old_if_either_is(lookup: Lookup) -> None:
    references = ["driver_in_city:labels", "driver_in_city:profile"]
    columns: dict[str, list[Any]] = {"driver_id": [1, 2, 1, 9, 9], "city_code": ["LIS", "LIS", "OPO", "LIS", "NIL"]}
    rows = await _good_rows(lookup, references, **columns)
    assert _first(rows) == [
        (("hilly",), _P, _FRESH_NS),
        (("hilly",), _O, _OLD_NS),
        (("hilly",), _O, _OLD_NS),
        (("hilly",), _P, _FRESH_NS),
        ((), _P, None),
    ]
    assert values_of(rows[0])[1] == (4.5, 2_900_000.0)


async def test_a_value_that_a_function_makes_of_no_row_stays(lookup: Lookup) -> None:
    rows = await _good_rows(lookup, ["city_size:size", "city_size:is_big"], city_code=["LIS", "NIL"])
    assert _first(rows) == [("big", _P, _FRESH_NS), ("small", _P, None)]


async def test_an_output_of_request_data_alone_has_no_time(lookup: Lookup) -> None:
    rows = await _good_rows(lookup, ["trip_miles:miles"], km=[1.609344, 0], bags=[1, 1])
    assert _first(rows) == [(1.0, _P, None), (0.0, _P, None)]


async def test_request_data_keep_their_values_however_calls_are_merged(lookup: Lookup) -> None:
    rng = random.Random(1)  # noqa: S311  # repeatable on purpose
    calls = [(rng.choice([1, 2, 3]), rng.choice([1, 1.5, 2, 0.1, 3]), rng.randrange(1, 5)) for _ in range(60)]
    answers = await asyncio.gather(
        *(
            _good_rows(lookup, ["trip_price:km_per_bag"], driver_id=[driver], km=[km], bags=[bags])
            for driver, km, bags in calls
        )
    )
    assert [values_of(row)[0] for (row,) in answers] == [km / bags for _, km, bags in calls]


async def test_functions_get_each_type_as_it_was_sent(lookup: Lookup) -> None:
    sent: dict[str, list[Any]] = {
        "sent_bool": [True, False],
        "sent_int32": [-(2**31), 7],
        "sent_int64": [2**63 - 1, 7],
        "sent_float32": [1, 0.5],
        "sent_float64": [2, 5e-324],
        "sent_string": ["", "naïve 名"],
    }
    references = [f"echo:{name.replace('sent_', 'got_')}" for name in sent]
    rows = await _good_rows(lookup, references, **sent)
    for position, row in enumerate(rows):
        assert values_of(row) == tuple(column[position] for column in sent.values())
        assert [type(value) for value in values_of(row)] == [bool, int, int, float, float, str]


async def test_a_view_that_takes_one_row_answers_each_row(lookup: Lookup) -> None:
    rows = await _good_rows(
        lookup,
        ["trip_load:heavy", "trip_load:per_trip"],
        driver_id=[1, 2, 9, 1],
        km=[3.0, 1.0, 2.0, 3],
        bags=[1, 5, 4, 1],
    )
    assert [values_of(row) for row in rows] == [(False, 0.1), (True, 0.1), (True, 2.0), (False, 0.1)]


async def test_a_function_that_may_aggregate_gets_the_rows_of_a_call_as_they_are_sent(lookup: Lookup) -> None:
    rows = await _good_rows(lookup, ["trips_share:share"], driver_id=[1, 2, 1, 3])
    assert [values_of(row)[0] for row in rows] == [pytest.approx(trips / 77) for trips in (30, 10, 30, 7)]
    rows = await _good_rows(lookup, ["trips_rank:more_than"], driver_id=[3, 1, 2, 1])
    assert [values_of(row) for row in rows] == [(0,), (2,), (1,), (2,)]


async def test_a_function_that_may_aggregate_never_gets_rows_of_two_calls(lookup: Lookup) -> None:
    calls = [[1], [1, 2], [2, 1], [1, 1], [3, 2, 1]] * 6
    shares = await asyncio.gather(*(_good_rows(lookup, ["trips_share:share"], driver_id=[*ids]) for ids in calls))
    ranks = await asyncio.gather(*(_good_rows(lookup, ["trips_rank:more_than"], driver_id=[*ids]) for ids in calls))
    for ids, share, rank in zip(calls, shares, ranks, strict=True):
        trips = [_TRIPS[driver] for driver in ids]
        assert [values_of(row)[0] for row in share] == [pytest.approx(one / sum(trips)) for one in trips]
        assert [values_of(row)[0] for row in rank] == [sum(other < one for other in trips) for one in trips]


async def test_a_function_that_may_aggregate_and_raises_fails_all_rows_of_its_call_alone(lookup: Lookup) -> None:
    failed, answered = await asyncio.gather(
        _rows(lookup, ["trips_rank:more_than"], driver_id=[1, 9]),
        _rows(lookup, ["trips_rank:more_than"], driver_id=[1, 2]),
    )
    for row in failed:
        assert isinstance(row, RowFailure)
        assert row.error.reason == ErrorReason.ERROR_REASON_TRANSFORMATION_FAILED
        assert "(trips_rank) failed for the rows of this call;" in row.error.message
    assert [values_of(row) for row in answered if isinstance(row, Row)] == [(1,), (0,)]


async def test_a_row_for_which_a_function_raises_fails_alone(
    bed: tuple[Lookup, ReplicaPool], caplog: pytest.LogCaptureFixture
) -> None:
    lookup, pool = bed
    columns: dict[str, list[Any]] = {
        "driver_id": [1, 1, 1, 2**40, 1],
        "city_code": ["LIS", "OPO", "LIS", "FAR", "LIS"],
        "km": [1.0] * 5,
        "bags": [1, 0, 5, 1, 2],
    }
    rows = await _rows(lookup, ["tips_per_bag:per_bag"], **columns)
    assert [values_of(row)[0] if isinstance(row, Row) else None for row in rows] == [12.5, None, 2.5, None, 6.25]
    for row in (rows[1], rows[3]):
        assert isinstance(row, RowFailure)
        assert row.error.reason == ErrorReason.ERROR_REASON_TRANSFORMATION_FAILED
        assert row.error.metadata == {"feature_views": "tips_per_bag"}
    assert pool.ejected == 0
    assert "NoneType" not in caplog.text
    assert "division" not in caplog.text


async def test_callers_beside_one_whose_row_fails_are_answered(lookup: Lookup) -> None:
    async def per_bag(bags: int) -> Row | RowFailure:
        columns: dict[str, list[Any]] = {"driver_id": [1], "city_code": ["LIS"], "km": [1.0], "bags": [bags]}
        (row,) = await _rows(lookup, ["tips_per_bag:per_bag"], **columns)
        return row

    rows = await asyncio.gather(*(per_bag(number % 8) for number in range(40)))
    for number, row in enumerate(rows):
        bags = number % 8
        if bags:
            assert isinstance(row, Row)
            assert values_of(row) == (12.5 / bags,)
        else:
            assert isinstance(row, RowFailure)
            assert row.error.reason == ErrorReason.ERROR_REASON_TRANSFORMATION_FAILED


@pytest.mark.parametrize(
    ("references", "names"),
    [
        (["trip_load:per_trip", "driver_city_fv:trips"], "trips"),
        (["trip_load:heavy", "tips_per_bag:per_bag"], "trips"),
    ],
)
async def test_features_that_feast_would_take_for_others_are_refused(
    lookup: Lookup, references: list[str], names: str
) -> None:
    with pytest.raises(GatewayError) as raised:
        lookup.contract.feature_set_of_references(references)
    assert raised.value.reason == ErrorReason.ERROR_REASON_FEATURE_NAME_CLASH
    assert raised.value.metadata["names"] == names


async def test_a_service_that_feast_cannot_answer_in_full_is_refused_with_the_reason(lookup: Lookup) -> None:
    with pytest.raises(GatewayError, match="named trips") as raised:
        lookup.contract.feature_set_of_service("mixed_up_v1")
    assert raised.value.reason == ErrorReason.ERROR_REASON_FEATURE_NAME_CLASH


async def test_features_of_one_name_are_kept_apart_where_functions_are_in_pandas(lookup: Lookup) -> None:
    (row,) = await _good_rows(
        lookup,
        ["driver_city_fv:trips", "trip_price:price", "driver_fv:trips"],
        driver_id=[1],
        city_code=["LIS"],
        km=[2],
        bags=[1],
    )
    assert values_of(row) == (20, 3.0, 30)


async def test_services_that_rename_are_answered_by_their_names(lookup: Lookup) -> None:
    routes = lookup.contract.feature_set_of_service("routes_v1")
    columns = {"destination_code": ["OPO", "LIS"], "origin_code": ["LIS", "NIL"]}
    rows = await lookup.rows(routes, columns, caller=ANYONE, remaining_s=None)
    names = [feature.name for feature in routes.features]
    answers = [dict(zip(names, values_of(row), strict=True)) for row in rows if isinstance(row, Row)]
    assert [answer["origin__population"] for answer in answers] == [2_900_000, None]
    assert [answer["destination__population"] for answer in answers] == [1_700_000, 2_900_000]


async def test_canary_reads_find_each_service_answered(bed: tuple[Lookup, ReplicaPool]) -> None:
    lookup, pool = bed
    read = CanaryRead(feature_service="", user_entity="user", key_text="CANARY", authorization="", timeout_s=20)
    canary = Canary(pool, read, start_trial_s=60)
    await canary.try_out(lookup.contract)
    await canary.check(lookup.contract)
    await read.read(pool, lookup.contract)
