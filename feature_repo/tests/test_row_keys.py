"""The keys that the route /rows/v1 asks Redis for are those that Feast's own code makes."""

import struct
from typing import Any

import pytest
from feast import ValueType
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.type_map import python_values_to_proto_values
from hypothesis import given
from hypothesis import strategies as st
from streamflow_repo.server.rows.keys import KeyEncoder

_VALUES: dict[ValueType, st.SearchStrategy[Any]] = {
    ValueType.STRING: st.text(st.characters(exclude_categories=["Cs"])),
    ValueType.INT32: st.integers(-(2**31), 2**31 - 1),
    ValueType.INT64: st.integers(-(2**63), 2**63 - 1),
}
_Columns = dict[str, tuple[ValueType, list[Any]]]


@st.composite
def _columns(draw: st.DrawFn) -> _Columns:
    names = draw(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=3, unique=True)
    )
    rows = draw(st.integers(1, 4))
    columns: _Columns = {}
    for name in names:
        value_type = draw(st.sampled_from(list(_VALUES)))
        columns[name] = value_type, draw(st.lists(_VALUES[value_type], min_size=rows, max_size=rows))
    return columns


@given(columns=_columns(), project=st.text("abc_", min_size=1))
def test_keys_are_feasts(columns: _Columns, project: str) -> None:
    types = {name: value_type for name, (value_type, _) in columns.items()}
    values = {name: values for name, (_, values) in columns.items()}
    protos = zip(*(python_values_to_proto_values(values[name], types[name]) for name in columns), strict=True)
    feasts = [
        serialize_entity_key(EntityKey(join_keys=list(columns), entity_values=row), 3) + project.encode()
        for row in protos
    ]
    assert KeyEncoder(list(columns), types, project=project).keys(values) == feasts


@pytest.mark.parametrize(
    ("value_type", "value"),
    [
        (ValueType.STRING, 7),
        (ValueType.STRING, None),
        (ValueType.INT64, "7"),
        (ValueType.INT64, True),
        (ValueType.INT64, 7.0),
        (ValueType.INT64, 2**63),
        (ValueType.INT32, 2**31),
    ],
)
def test_values_of_other_types_are_left_to_feast(value_type: ValueType, value: object) -> None:
    encoder = KeyEncoder(["id"], {"id": value_type}, project="p")
    with pytest.raises((TypeError, struct.error)):
        encoder.keys({"id": [value]})


def test_join_keys_of_other_types_are_left_to_feast() -> None:
    with pytest.raises(KeyError):
        KeyEncoder(["id"], {"id": ValueType.BYTES}, project="p")
