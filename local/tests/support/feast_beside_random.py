"""Random requests to the gateway and to Feast, and what the gateway's answers are compared by.

Names, order and values are Feast's. Statuses and event timestamps follow the truth table, which Feast's do not.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import grpc
from feast.errors import FeatureNameCollisionError
from feast_beside import Beside, Column, Question, Selection
from feast_beside_model import PRESENT, SelectionModel
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import assume
from hypothesis import strategies as st

Columns = Mapping[str, st.SearchStrategy[Any]]
"""What values the join keys and the request data have, by their names."""


def references_of(beside: Beside, *kinds: str) -> list[str]:
    """Return the references of all features of some kinds of view."""
    return [
        f"{view['name']}:{part['name']}"
        for kind in kinds
        for view in beside.contract[kind]
        for part in view["features"]
    ]


def question_of(data: st.DataObject, beside: Beside, selection: Selection, values: Columns) -> Question:
    model = SelectionModel(beside.contract, selection)
    # Nothing names a row of views without an entity alone.
    assume(model.join_keys or model.request_data)
    rows = 1 if model.one_row_alone else data.draw(st.integers(1, 4), label="rows")
    columns = {
        name: data.draw(st.lists(values[name], min_size=rows, max_size=rows), label=name)
        for name in (*model.join_keys, *model.request_data)
    }
    return Question(selection, columns, full_feature_names=data.draw(st.booleans(), label="full names"))


def answer_of(ask: Callable[[Question], list[Column]], question: Question) -> list[Column] | Exception:
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


def compare(
    beside: Beside, question: Question, *, feast: list[Column] | Exception, made_up: Collection[str] = ()
) -> None:
    """Compare the gateway's answer with Feast's; the values of `made_up` features are new in each answer."""
    model = SelectionModel(beside.contract, question.selection)
    answer = answer_of(beside.ask_gateway, question)
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
    mixed_up = isinstance(feast, KeyError) or model.takes_another_views_input
    if mixed_up and model.on_demand and not question.full_feature_names and not model.python:
        # By bare names, functions don't find inputs of which two views have the name, or features get their values.
        full = beside.ask_sdk(replace(question, full_feature_names=True))
        bare = dict(zip(model.names(full=True), names, strict=True))
        feast = [replace(column, name=bare.get(column.name, column.name)) for column in full]
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
        assert name.split("__")[-1] in made_up or by_name[name].values == column.values, name
    for name in model.join_keys:
        assert {*by_name[name].statuses} == {PRESENT}
        assert {*by_name[name].stamps_ns} == {0}
    for name, cells in model.cells(beside, question, feasts).items():
        assert [*zip(by_name[name].statuses, by_name[name].stamps_ns, strict=True)] == cells, name
