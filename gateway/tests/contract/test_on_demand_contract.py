"""On-demand views of a contract: their columns, how they are asked for, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.content import ContractError
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError
from gateway_fakes import loaded_contract, service_entry
from on_demand import on_demand_content, on_demand_view
from streamflow.features.v1.error_reason_pb2 import ErrorReason


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    return loaded_contract(tmp_path, on_demand_content())


def test_columns_are_the_join_keys_of_inputs_and_then_request_data(contract: Contract) -> None:
    feature_set = contract.feature_set_of_references(["plain:plain_out", "pace:pace_out", "place_fv:visits"])
    assert [column.name for column in feature_set.columns] == ["driver_id", "shop_id", "place_id", "minutes"]
    assert [column.kind for column in feature_set.columns] == [ColumnKind.JOIN_KEY] * 3 + [ColumnKind.REQUEST_DATA]
    assert contract.request_names == {"minutes"}


@pytest.mark.parametrize(
    ("references", "full_names", "max_read_rows"),
    [
        (["trip_fv:trips"], True, None),
        (["plain:plain_out"], True, None),
        (["pace:pace_out"], False, None),
        (["share:share_out"], True, 1),
        (["alone:alone_out", "trip_fv:trips"], False, 1),
    ],
)
def test_modes_say_by_which_names_a_set_is_asked_for_and_tags_how_many_rows_share_a_read(
    contract: Contract, references: list[str], full_names: object, max_read_rows: int | None
) -> None:
    feature_set = contract.feature_set_of_references(references)
    assert feature_set.full_names is full_names
    assert feature_set.max_read_rows == max_read_rows


@pytest.mark.parametrize(
    ("references", "whole"),
    [(["share:share_out"], True), (["share:share_out", "alone:alone_out"], False), (["pace:pace_out"], False)],
)
def test_the_rows_of_a_call_stay_together_for_a_function_that_may_aggregate_unless_another_takes_one_row(
    contract: Contract, references: list[str], whole: object
) -> None:
    assert contract.feature_set_of_references(references).reads_whole_calls is whole


def test_a_source_that_is_asked_for_is_not_read_along_twice(contract: Contract) -> None:
    alone = contract.feature_set_of_references(["pace:pace_out"])
    assert alone.references == ["pace:pace_out", "trip_fv:last"]
    both = contract.feature_set_of_references(["pace:pace_out", "trip_fv:trips"])
    assert both.references == ["pace:pace_out", "trip_fv:trips"]


def test_orders_of_features_that_are_read_along_share_reads(contract: Contract) -> None:
    references = ["pace:pace_out", "driver_fv:rating"]
    first, second = (contract.feature_set_of_references(order) for order in (references, references[::-1]))
    assert second.read_set is first
    assert (first.read_positions, second.read_positions) == ((0, 1), (1, 0))


def _request(name: str, dtype: str) -> dict[str, Any]:
    return {"request": [{"name": name, "dtype": dtype}]}


@pytest.mark.parametrize(
    ("views", "references", "names"),
    [
        # Bare names of outputs and features.
        ([on_demand_view("a", "rating")], ["a:rating", "driver_fv:rating"], "rating"),
        # Request data with the name of a feature of another view, which Feast keeps from the function.
        (
            [on_demand_view("a", "x", mode="pandas", **_request("rating", "Int64"))],
            ["a:x", "driver_fv:rating"],
            "rating",
        ),
        # Request data of two types.
        (
            [on_demand_view("a", "x"), on_demand_view("b", "y", **_request("minutes", "Int64"))],
            ["a:x", "b:y"],
            "minutes",
        ),
    ],
)
def test_names_that_clash_are_refused_and_a_service_of_them_too(
    tmp_path: Path, views: list[dict[str, Any]], references: list[str], names: str
) -> None:
    keys = [{"name": "driver_id", "entity": "driver"}, {"name": "shop_id", "entity": "shop"}]
    dtypes = {"rating": "Float64"} | {view["features"][0]["name"]: "Float64" for view in views}
    parts = [reference.split(":") for reference in references]
    service = service_entry("s_v1", [(view, name, dtypes[name], None) for view, name in parts], join_keys=keys)
    content = on_demand_content(on_demand_feature_views=views)
    contract = loaded_contract(tmp_path, content | {"feature_services": [*content["feature_services"], service]})
    with pytest.raises(GatewayError) as of_references:
        contract.feature_set_of_references(references)
    with pytest.raises(GatewayError) as of_service:
        contract.feature_set_of_service("s_v1")
    for raised in (of_references, of_service):
        assert raised.value.reason == ErrorReason.ERROR_REASON_FEATURE_NAME_CLASH
        assert raised.value.metadata["names"] == names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "ray"}, "a is in 'ray'; it can be python, pandas, substrait"),
        ({"inputs": [{"view": "nope", "name": "x"}]}, "a reads nope, which the contract does not have"),
        ({"inputs": [{"view": "trip_fv", "name": "x"}]}, "a reads trip_fv: x, which the contract does not have"),
        ({"inputs": [], "request": []}, "a has neither join keys nor request data"),
        (_request("driver_id", "Int64"), "a has request data of one name, or of a join key's"),
        (_request("x", "Bytes"), "the request data x of a is Bytes, which can't be sent to a feature server"),
        (_request("x", "Odd"), "the request data x of a is Odd"),
        ({"singleton": 1}, "1 is not true or false"),
        ({"name": "trip_fv"}, "two feature views are named trip_fv"),
    ],
)
def test_an_on_demand_view_that_cannot_be_served_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        loaded_contract(tmp_path, on_demand_content(on_demand_feature_views=[on_demand_view("a", "x") | changes]))
