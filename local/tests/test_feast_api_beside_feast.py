"""The gateway's GetOnlineFeatures beside Feast's own Python SDK and `feast listen`: the same random requests to each.

Names, order and values are Feast's. Statuses and event timestamps follow the truth table, which Feast's do not.
"""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from feast.errors import FeatureNameCollisionError
from feast_beside import Beside, Column, Question, Selection, served_beside
from feast_beside_model import PRESENT, SelectionModel
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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


def _references(beside: Beside, *kinds: str) -> list[str]:
    return [
        f"{view['name']}:{part['name']}"
        for kind in kinds
        for view in beside.contract[kind]
        for part in view["features"]
    ]


def _question(data: st.DataObject, beside: Beside, selection: Selection) -> Question:
    model = SelectionModel(beside.contract, selection)
    rows = 1 if model.one_row_alone else data.draw(st.integers(1, 4), label="rows")
    columns = {
        name: data.draw(st.lists(_COLUMNS[name], min_size=rows, max_size=rows), label=name)
        for name in (*model.join_keys, *model.request_data)
    }
    return Question(selection, columns, full_feature_names=data.draw(st.booleans(), label="full names"))


def _answer(ask: Callable[[Question], list[Column]], question: Question) -> list[Column] | Exception:
    try:
        return ask(question)
    except Exception as error:  # noqa: BLE001  # functions raise what they like
        return error


def _reason(error: Exception) -> str:
    assert isinstance(error, grpc.RpcError), error
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # a failed call is both
    assert status is not None, error
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason).removeprefix("ERROR_REASON_")


def _compare(beside: Beside, question: Question, *, feast: list[Column] | Exception) -> None:
    model = SelectionModel(beside.contract, question.selection)
    answer = _answer(beside.ask_gateway, question)
    if isinstance(answer, Exception):
        reason = _reason(answer)
        # Where Feast would take a feature for another of the same name, the gateway refuses.
        clash = isinstance(feast, FeatureNameCollisionError) or bool(model.on_demand)
        refused = {"FEATURE_NAME_CLASH": clash, "FEATURE_SERVICE_UNKNOWN": clash}
        refused["TRANSFORMATION_FAILED"] = isinstance(feast, Exception)
        assert refused[reason], (reason, feast)
        return
    names = model.names(full=question.full_feature_names)
    assert [column.name for column in answer] == [*model.join_keys, *names]
    if isinstance(feast, Exception):
        # With full names, functions in Python don't find their inputs.
        assert model.python, feast
        assert question.full_feature_names, feast
        return
    by_name = {column.name: column for column in answer}
    feasts = {column.name: column for column in feast}
    assert feasts.keys() <= by_name.keys()
    assert (model.python and question.full_feature_names) or feasts.keys() == by_name.keys()
    for name, column in feasts.items():
        assert by_name[name].values == column.values, name
    for name in model.join_keys:
        assert {*by_name[name].statuses} == {PRESENT}
        assert {*by_name[name].stamps_ns} == {0}
    for name, cells in model.cells(beside, question, feasts).items():
        assert [*zip(by_name[name].statuses, by_name[name].stamps_ns, strict=True)] == cells, name


@_random
@given(st.data())
def test_a_feature_service_is_answered_as_by_feasts_sdk(beside: Beside, data: st.DataObject) -> None:
    names = [service["name"] for service in beside.contract["feature_services"]]
    question = _question(data, beside, data.draw(st.sampled_from(names), label="service"))
    _compare(beside, question, feast=_answer(beside.ask_sdk, question))


@_random
@given(st.data())
def test_references_are_answered_as_by_feasts_sdk(beside: Beside, data: st.DataObject) -> None:
    references = st.sampled_from(_references(beside, "feature_views", "on_demand_feature_views"))
    selection = data.draw(st.lists(references, min_size=1, max_size=5, unique=True), label="references")
    question = _question(data, beside, tuple(selection))
    _compare(beside, question, feast=_answer(beside.ask_sdk, question))


@_random
@given(st.data())
def test_references_are_answered_as_by_feast_listen(beside: Beside, data: st.DataObject) -> None:
    references = st.sampled_from(_references(beside, "feature_views"))
    selection = data.draw(st.lists(references, min_size=1, max_size=5, unique=True), label="references")
    question = _question(data, beside, tuple(selection))
    names = SelectionModel(beside.contract, question.selection).names(full=question.full_feature_names)
    assume(len({*names}) == len(names))
    _compare(beside, question, feast=beside.ask_listen(question))


@_random
@given(st.data())
def test_the_order_of_names_is_feasts_where_feast_has_one(beside: Beside, data: st.DataObject) -> None:
    """Feast keeps the order of join keys and of feature views; a view's features have a new order in each process."""
    references = _references(beside, "feature_views")
    one_a_view = st.lists(st.sampled_from(references), min_size=1, max_size=4, unique_by=lambda one: one.split(":")[0])
    question = _question(data, beside, tuple(data.draw(one_a_view, label="references")))
    names = SelectionModel(beside.contract, question.selection).names(full=question.full_feature_names)
    assume(len({*names}) == len(names))
    answer, feast = beside.ask_gateway(question), beside.ask_sdk(question)
    assert [column.name for column in answer] == [column.name for column in feast]
