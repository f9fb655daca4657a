"""What a contract says of a selection, and the truth table, for comparing the gateway's answers with Feast's."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast_beside import Beside, Column, Question, Selection

Cell = tuple[int, int]
"""A status, and an event timestamp in nanoseconds."""

PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = (
    FieldStatus.Value(name) for name in ("PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE")
)


class SelectionModel:
    """The features of a selection, and what their rows are named by."""

    def __init__(self, contract: Mapping[str, Any], selection: Selection) -> None:
        self._stored = {view["name"]: view for view in contract["feature_views"]}
        on_demand = {view["name"]: view for view in contract["on_demand_feature_views"]}
        entities = {entity["name"]: entity["join_key"] for entity in contract["entities"]}
        if isinstance(selection, str):
            (service,) = (one for one in contract["feature_services"] if one["name"] == selection)
            self.features = [(part["view"], part["as"], part["name"]) for part in service["features"]]
            self.join_keys = sorted(key["name"] for key in service["join_keys"])
        else:
            split = [reference.split(":") for reference in selection]
            self.features = [(view, view, name) for view, name in split]
            used = {view for view, _, _ in self.features}
            used |= {part["view"] for view in used & on_demand.keys() for part in on_demand[view]["inputs"]}
            self.join_keys = sorted(
                {entities[entity] for view in used & self._stored.keys() for entity in self._stored[view]["entities"]}
            )
        self.on_demand = {view: on_demand[view] for view, _, _ in self.features if view in on_demand}
        self.request_data = sorted({part["name"] for view in self.on_demand.values() for part in view["request"]})

    @property
    def one_row_alone(self) -> bool:
        """Whether Feast's answer is right for one row alone."""
        return any(view["singleton"] for view in self.on_demand.values())

    @property
    def python(self) -> bool:
        """Whether a function in Python is asked for, whose output Feast omits with full names."""
        return any(view["mode"] == "python" for view in self.on_demand.values())

    @property
    def takes_another_views_input(self) -> bool:
        """Whether Feast, asked for bare names, answers a feature with an on-demand view's input of the same name."""
        asked = {(view, name) for view, _, name in self.features}
        inputs = {(part["view"], part["name"]) for view in self.on_demand.values() for part in view["inputs"]}
        return any(
            name == input_name and view != input_view for view, name in asked for input_view, input_name in inputs
        )

    def names(self, *, full: bool) -> list[str]:
        return [f"{called}__{name}" if full else name for _, called, name in self.features]

    def cells(self, beside: Beside, question: Question, answer: Mapping[str, Column]) -> dict[str, list[Cell]]:
        """Return what the truth table makes of the values and times of Feast's answer, by name."""
        names = self.names(full=question.full_feature_names)
        found: dict[str, list[Cell]] = {}
        for name, (view, called, _) in zip(names, self.features, strict=True):
            if name not in answer:
                continue
            if view in self.on_demand:
                found[name] = self._outputs(beside, question, view, answer[name].values)
            else:
                row = [answer[other] for other, of in zip(names, self.features, strict=True) if of[1] == called]
                found[name] = [
                    _cell(value, times, self._stored[view]["max_age_s"], known=known)
                    for value, times, known in zip(
                        answer[name].values, answer[name].stamps_ns, _known(row), strict=True
                    )
                ]
        return found

    def _outputs(self, beside: Beside, question: Question, name: str, values: Sequence[Any]) -> list[Cell]:
        view = self.on_demand[name]
        sources: list[list[tuple[int, float | None]]] = [[] for _ in values]
        for source in sorted({part["view"] for part in view["inputs"]}):
            inputs = tuple(f"{source}:{part['name']}" for part in view["inputs"] if part["view"] == source)
            model = SelectionModel(beside.contract, inputs)
            columns = {key: question.columns[key] for key in model.join_keys}
            answer = beside.ask_sdk(Question(inputs, columns))
            for row, stamp_ns in enumerate(answer[-1].stamps_ns):
                sources[row].append((stamp_ns, self._stored[source]["max_age_s"]))
        return [
            self._output(value, of_row, needs_rows=bool(view["inputs"]))
            for value, of_row in zip(values, sources, strict=True)
        ]

    def _output(self, value: Any, sources: list[tuple[int, float | None]], *, needs_rows: bool) -> Cell:
        found = [(stamp_ns, max_age_s) for stamp_ns, max_age_s in sources if stamp_ns]
        oldest_ns = min((stamp_ns for stamp_ns, _ in found), default=0)
        if value is None:
            return (NOT_FOUND if needs_rows and not found else NULL_VALUE), oldest_ns
        return (OUTSIDE_MAX_AGE if any(_is_old(*source) for source in found) else PRESENT), oldest_ns


def _known(row: Sequence[Column]) -> list[bool]:
    """Return for each row whether a view has it, by the view's columns."""
    cells = zip(*(zip(column.values, column.stamps_ns, strict=True) for column in row), strict=True)
    return [any(value is not None or stamp_ns for value, stamp_ns in of_row) for of_row in cells]


def _cell(value: Any, stamp_ns: int, max_age_s: float | None, *, known: bool) -> Cell:
    if value is None:
        return (NULL_VALUE if known else NOT_FOUND), stamp_ns
    return (OUTSIDE_MAX_AGE if _is_old(stamp_ns, max_age_s) else PRESENT), stamp_ns


def _is_old(stamp_ns: int, max_age_s: float | None) -> bool:
    return max_age_s is not None and stamp_ns > 0 and time.time() - stamp_ns / 1e9 > max_age_s
