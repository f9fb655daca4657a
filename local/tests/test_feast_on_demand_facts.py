"""What Feast's own `feast serve` does with on-demand views and keys: the traps that the gateway keeps its callers from.

A test that fails with a new Feast says which of the gateway's rules may be simplified, or has to change.
"""

import json

import pytest
from any_repo_rows import FRESH
from feast_http import Refusal, ask_feast, columns_of, values_of

_EPOCH = "1970-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def feast(feast_serve_on_sqlite: str) -> str:
    """The URL of Feast's own feature server; on-demand views don't depend on the online store."""
    return feast_serve_on_sqlite


def test_an_output_is_present_at_the_epoch_whatever_its_sources_are(feast: str) -> None:
    columns = columns_of(
        feast, features=["driver_quality:quality", "driver_fv:rating"], entities={"driver_id": [1, 3, 9]}
    )
    fresh = FRESH.isoformat().replace("+00:00", "Z")
    assert columns["quality"] == [(2.25, "PRESENT", _EPOCH), *[(None, "PRESENT", _EPOCH)] * 2]
    assert columns["rating"] == [(4.5, "PRESENT", fresh), (None, "PRESENT", fresh), (None, "NOT_FOUND", _EPOCH)]


def test_full_names_leave_out_the_outputs_of_python_mode_alone(feast: str) -> None:
    asked = {"features": ["city_size:size"], "entities": {"city_code": ["LIS"]}}
    assert columns_of(feast, **asked)["size"] == [("big", "PRESENT", _EPOCH)]
    assert [*columns_of(feast, **asked, full_feature_names=True)] == ["city_code"]
    pandas = {"features": ["driver_quality:quality"], "entities": {"driver_id": [1]}, "full_feature_names": True}
    assert values_of(feast, "driver_quality__quality", **pandas) == [2.25]


def test_a_singleton_answers_for_the_first_row_alone(feast: str) -> None:
    rows = {"driver_id": [1, 2, 3], "km": [1.5, 2.5, 3.5], "bags": [1, 9, 2]}
    columns = columns_of(feast, features=["trip_load:heavy", "trip_load:per_trip"], entities=rows)
    assert [value for value, _, _ in columns["driver_id"]] == [1, 2, 3]
    assert columns["heavy"] == [(False, "PRESENT", _EPOCH)]
    assert columns["per_trip"] == [(0.05, "PRESENT", _EPOCH)]


def test_a_function_may_look_at_all_rows_of_a_request(feast: str) -> None:
    assert values_of(feast, "share", features=["trips_share:share"], entities={"driver_id": [1]}) == [1.0]
    assert values_of(feast, "share", features=["trips_share:share"], entities={"driver_id": [1, 2]}) == [0.75, 0.25]


def test_request_data_are_of_the_type_of_the_first_row(feast: str) -> None:
    sent = {
        "sent_bool": [True, 2],
        "sent_int32": [1, 1.5],
        "sent_int64": [1, 1.5],
        "sent_float32": [1, 2.5],
        "sent_float64": [1, 2.5],
        "sent_string": ["a", 1],
    }
    names = [name.replace("sent_", "got_") for name in sent]
    columns = columns_of(feast, features=[f"echo:{name}" for name in names], entities=sent)
    got = {name: [value for value, _, _ in columns[name]] for name in names}
    assert got == {
        "got_bool": [True, True],
        "got_int32": [1, 1],
        "got_int64": [1, 1],
        "got_float32": [1.0, 2.0],
        "got_float64": [1.0, 2.0],
        "got_string": ["a", "1"],
    }
    sent["sent_float64"] = [1.0, 2.5]
    assert values_of(feast, "got_float64", features=["echo:got_float64"], entities=sent) == [1.0, 2.5]


def test_missing_request_data_are_a_404(feast: str) -> None:
    answer = ask_feast(feast, features=["trip_price:price"], entities={"driver_id": [1], "km": [1.5]})
    assert isinstance(answer, Refusal)
    assert answer.code == 404
    assert json.loads(json.loads(answer.body))["class"] == "RequestDataNotFoundInEntityRowsException"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            {"driver_id": [1, 1], "city_code": ["LIS", "OPO"], "km": [1.5, 1.5], "bags": [1, 0]},
            "float division by zero",
        ),
        ({"driver_id": [9], "city_code": ["LIS"], "km": [1.5], "bags": [1]}, "unsupported operand type(s) for /: "),
    ],
    ids=["one row of two", "a row that is not found"],
)
def test_a_function_that_raises_fails_the_whole_request_with_its_text(
    feast: str, rows: dict[str, list[object]], text: str
) -> None:
    answer = ask_feast(feast, features=["tips_per_bag:per_bag"], entities=rows)
    assert isinstance(answer, Refusal)
    assert answer.code == 500
    assert json.loads(answer.body).startswith(text)


def test_a_feature_is_taken_for_an_input_of_the_same_name(feast: str) -> None:
    rows = {"driver_id": [1], "city_code": ["LIS"], "km": [1.5], "bags": [1]}
    assert values_of(feast, "trips", features=["driver_city_fv:trips"], entities=rows) == [20]
    # A feature that nobody asked for: the view of driver_quality has `trips` too.
    assert values_of(feast, "trips", features=["driver_city_fv:trips", "driver_quality:quality"], entities=rows) == [30]


def test_on_demand_views_with_inputs_of_one_name_fail_together(feast: str) -> None:
    rows = {"driver_id": [1], "city_code": ["LIS"], "km": [1.5], "bags": [1]}
    for features in (["trip_load:per_trip"], ["tips_per_bag:per_bag"]):
        columns_of(feast, features=features, entities=rows)
    answer = ask_feast(feast, features=["trip_load:per_trip", "tips_per_bag:per_bag"], entities=rows)
    assert answer == Refusal(500, "\"'trips'\"")


def test_a_part_of_a_composite_key_is_taken_for_a_row_that_is_not_there(feast: str) -> None:
    for part in ({"driver_id": [1]}, {"city_code": ["LIS"]}):
        assert values_of(feast, "tips", features=["driver_city_fv:tips"], entities=part) == [None]


def test_a_key_that_no_view_takes_and_a_key_of_another_type_are_taken(feast: str) -> None:
    keys = {"shop_id": ["1", 2.0], "colour": ["red", "blue"]}
    assert values_of(feast, "title", features=["shop_fv:title"], entities=keys) == ["Corner shop", "Bakery"]


def test_two_features_of_one_name_are_a_500_without_full_names(feast: str) -> None:
    asked = {
        "features": ["driver_fv:trips", "driver_city_fv:trips"],
        "entities": {"driver_id": [1], "city_code": ["LIS"]},
    }
    answer = ask_feast(feast, **asked)
    assert isinstance(answer, Refusal)
    assert answer.code == 500
    assert json.loads(json.loads(answer.body))["class"] == "FeatureNameCollisionError"
    assert values_of(feast, "driver_city_fv__trips", **asked, full_feature_names=True) == [20]
