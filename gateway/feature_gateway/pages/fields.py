"""The form of a look-up: a field for each join key and for request data; what is written becomes columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.dtypes import element_of
from feature_gateway.errors import GatewayError
from feature_gateway.lookup.written import Written

KEY, OTHER, DATA = "key.", "other.", "data."
"""What the parameters of an entity, of the entity that it is compared with, and of request data begin with."""


@dataclass(frozen=True)
class Field:
    """A field of the form."""

    id: str
    parameter: str
    name: str
    dtype: str
    value: str
    description: str
    pattern: str
    error: str

    @property
    def needed(self) -> bool:
        """Whether a look-up needs it; an empty text is request data as good as any."""
        is_text = self.parameter.startswith(DATA) and self.dtype == "String"
        return not (is_text or self.parameter.startswith(OTHER))

    @property
    def is_list(self) -> bool:
        """Whether each line is an element."""
        return element_of(self.dtype) != self.dtype


def fields_of(
    feature_set: FeatureSet,
    contract: Contract,
    written: Mapping[str, str],
    *,
    prefix: str,
    error: GatewayError | None = None,
) -> list[Field]:
    """Return the fields of one kind, with what was written and the error of the field at fault."""
    kind = ColumnKind.REQUEST_DATA if prefix == DATA else ColumnKind.JOIN_KEY
    columns = [column for column in feature_set.columns if column.kind is kind]
    return [
        Field(
            f"{prefix}{number}",
            prefix + column.name,
            column.name,
            column.dtype,
            written.get(prefix + column.name, ""),
            _description(column, feature_set, contract),
            column.pattern.pattern if column.pattern else "",
            error_of(column, error),
        )
        for number, column in enumerate(columns)
    ]


def error_of(column: Column, error: GatewayError | None) -> str:
    """Return what is wrong with the value of a column; empty if the error is another's."""
    at_fault = error.metadata.get("join_key" if column.kind is ColumnKind.JOIN_KEY else "name") if error else None
    return (
        f"It takes {error.metadata['takes']}."
        if error and at_fault == column.name and "takes" in error.metadata
        else ""
    )


def values_of(feature_set: FeatureSet, written: Mapping[str, str], *, prefix: str) -> dict[str, Any]:
    """Return the typed value of each column that is written; None for a text that is not of the column's type."""
    values = {}
    for column in feature_set.columns:
        text = written.get((DATA if column.kind is ColumnKind.REQUEST_DATA else prefix) + column.name, "")
        # An empty text is request data as good as any.
        if text or (column.kind is ColumnKind.REQUEST_DATA and column.dtype == "String"):
            values[column.name] = Written(_elements(column, text)).value(column.dtype)
    return values


def _elements(column: Column, text: str) -> Sequence[str]:
    return text.splitlines() if element_of(column.dtype) != column.dtype else (text,)


def _description(column: Column, feature_set: FeatureSet, contract: Contract) -> str:
    if column.kind is ColumnKind.REQUEST_DATA:
        names = (f"{view.name}:{column.name}" for view in feature_set.on_demand if column in view.columns)
        found = (contract.notes.description("request_data", name) for name in names)
    else:
        of_key = (
            name for name, key in contract.entities.items() if (key.name, key.dtype) == (column.name, column.dtype)
        )
        found = (contract.notes.description("entities", name) for name in of_key)
    return next((text for text in found if text), "")
