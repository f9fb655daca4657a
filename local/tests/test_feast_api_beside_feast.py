"""The gateway's GetOnlineFeatures beside Feast's own Python SDK and `feast listen`: the same random requests to each.

Names, order and values are Feast's. Statuses and event timestamps follow the truth table, which Feast's do not.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from feast_beside import Beside, Question, served_beside
from feast_beside_model import SelectionModel
from feast_beside_random import answer_of, compare, question_of, references_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from streamflow_features import FeatureClient

_KEYS: dict[str, st.SearchStrategy[Any]] = {
    "user_id": st.sampled_from(
        ["fresh", "old", "null", "old-null", "elsewhere", "extreme", "infinite", "one", "empty", "partial", "nobody"]
    ),
    "driver_id": st.sampled_from([1, 2, 3, 2**40, 9]),
    "shop_id": st.sampled_from([1, 2, -(2**31), 9]),
    **dict.fromkeys(("city_code", "origin_code", "destination_code"), st.sampled_from(["LIS", "OPO", "FAR", "NIL"])),
    "depot_id": st.sampled_from([1, 9]),
}
_REQUEST_DATA: dict[str, st.SearchStrategy[Any]] = {
    "km": st.floats(0.5, 100, width=32),
    "bags": st.integers(1, 9),
    "sent_bool": st.booleans(),
    "sent_int32": st.integers(-(2**31), 2**31 - 1),
    "sent_int64": st.integers(-(2**63), 2**63 - 1),
    "sent_float32": st.floats(-1000, 1000, width=32),
    "sent_float64": st.floats(-1e300, 1e300),
    "sent_string": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5),
}
_COLUMNS = _KEYS | _REQUEST_DATA
_random = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.slow)])
def beside(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    repo = request.getfixturevalue(f"any_repo_on_{request.param}")
    url = request.getfixturevalue(f"feast_serve_on_{request.param}")
    with served_beside(repo, feature_server_url=url, folder=tmp_path_factory.mktemp("beside")) as served:
        yield served


@_random
@given(st.data())
def test_a_feature_service_is_answered_as_by_feasts_sdk(beside: Beside, data: st.DataObject) -> None:
    names = [service["name"] for service in beside.contract["feature_services"]]
    question = question_of(data, beside, data.draw(st.sampled_from(names), label="service"), _COLUMNS)
    compare(beside, question, feast=answer_of(beside.ask_sdk, question))


def test_a_feature_beside_an_on_demand_view_is_not_that_views_input_of_the_same_name(beside: Beside) -> None:
    columns: dict[str, list[Any]] = {"city_code": ["LIS"], "driver_id": [1], "bags": [1], "km": [1.0]}
    question = Question(("driver_city_fv:trips", "trip_price:price"), columns)
    compare(beside, question, feast=answer_of(beside.ask_sdk, question))


@_random
@given(st.data())
def test_references_are_answered_as_by_feasts_sdk(beside: Beside, data: st.DataObject) -> None:
    references = st.sampled_from(references_of(beside, "feature_views", "on_demand_feature_views"))
    selection = data.draw(st.lists(references, min_size=1, max_size=5, unique=True), label="references")
    question = question_of(data, beside, tuple(selection), _COLUMNS)
    compare(beside, question, feast=answer_of(beside.ask_sdk, question))


@_random
@given(st.data())
def test_code_that_has_feasts_sdk_gets_the_same_of_the_python_client(beside: Beside, data: st.DataObject) -> None:
    references = st.sampled_from(references_of(beside, "feature_views"))
    selection = data.draw(st.lists(references, min_size=1, max_size=5, unique=True), label="references")
    question = question_of(data, beside, tuple(selection), _COLUMNS)
    try:
        expected = beside.ask_as_code(beside.repo.store, question).to_df()
    except Exception:  # noqa: BLE001  # errors are compared above
        assume(False)
    with FeatureClient(beside.target, timeout_s=20, merge_calls=False, follow_health=False) as client:
        found = beside.ask_as_code(client, question).to_df()
    pd.testing.assert_frame_equal(found, expected, check_like=True)


@_random
@given(st.data())
def test_references_are_answered_as_by_feast_listen(beside: Beside, data: st.DataObject) -> None:
    references = st.sampled_from(references_of(beside, "feature_views"))
    selection = data.draw(st.lists(references, min_size=1, max_size=5, unique=True), label="references")
    question = question_of(data, beside, tuple(selection), _COLUMNS)
    names = SelectionModel(beside.contract, question.selection).names(full=question.full_feature_names)
    assume(len({*names}) == len(names))
    compare(beside, question, feast=beside.ask_listen(question))


@_random
@given(st.data())
def test_the_order_of_names_is_feasts_where_feast_has_one(beside: Beside, data: st.DataObject) -> None:
    """Feast keeps the order of join keys and of feature views; a view's features have a new order in each process."""
    references = references_of(beside, "feature_views")
    one_a_view = st.lists(st.sampled_from(references), min_size=1, max_size=4, unique_by=lambda one: one.split(":")[0])
    question = question_of(data, beside, tuple(data.draw(one_a_view, label="references")), _COLUMNS)
    names = SelectionModel(beside.contract, question.selection).names(full=question.full_feature_names)
    assume(len({*names}) == len(names))
    answer, feast = beside.ask_gateway(question), beside.ask_sdk(question)
    assert [column.name for column in answer] == [column.name for column in feast]
