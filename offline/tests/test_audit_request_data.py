"""The request data that an audit makes up."""

import struct
from typing import Any

import pytest
from streamflow_offline.audit.compare import Kind, OfflineCell, OnlineCell, differences
from streamflow_offline.audit.request_data import MadeUpRequestData
from streamflow_offline.errors import JobError

_ALL = {name.lower(): name for name in ("Bool", "Int32", "Int64", "Float32", "Float64", "String")}


def _values(dtypes: dict[str, str], *, seed: int = 0) -> list[dict[str, Any]]:
    made_up = MadeUpRequestData(dtypes, seed=seed)
    return [made_up.of(f"{number:04}-AAAAA") for number in range(50)]


def test_it_depends_on_seed_user_and_name_alone() -> None:
    assert _values(_ALL) == _values(_ALL)
    assert [row["float64"] for row in _values({"float64": "Float64"})] == [row["float64"] for row in _values(_ALL)]
    assert _values(_ALL) != _values(_ALL, seed=1)
    assert len({row["float64"] for row in _values(_ALL)}) > 40


def test_each_value_is_of_its_type() -> None:
    kinds = {"bool": bool, "int32": int, "int64": int, "float32": float, "float64": float, "string": str}
    for row in _values(_ALL):
        assert {name: type(value) for name, value in row.items()} == kinds
        assert struct.unpack("f", struct.pack("f", row["float32"])) == (row["float32"],)


def test_a_list_cannot_be_made_up() -> None:
    with pytest.raises(JobError, match=r"the request data tags, List\(String\), which the audit can't make up"):
        MadeUpRequestData({"tags": "List(String)"}, seed=0)


@pytest.mark.parametrize(("online", "kinds"), [(0.5, set()), (0.25, {Kind.VALUE}), (None, {Kind.NULL})])
def test_a_value_that_a_function_makes_of_no_row_is_compared(online: float | None, kinds: set[Kind]) -> None:
    assert differences("Float64", OfflineCell(value=0.5), OnlineCell(value=online)) == kinds
