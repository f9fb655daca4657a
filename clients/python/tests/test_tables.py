"""Batches become tables of pandas, NumPy and Arrow: each feature with its type, whatever its values are."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from streamflow_features import KEPT, FeatureStatus, UserFeatures, UserFeaturesBatch

_FEBRUARY = datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC)
# Each type, a value of it, its type in pandas, in NumPy and in Arrow.
_SCALARS: Sequence[tuple[str, Any, str, str, pa.DataType]] = [
    ("Bool", True, "boolean", "bool", pa.bool_()),
    ("Int32", -(2**31), "Int32", "int32", pa.int32()),
    ("Int64", 2**62 + 1, "Int64", "int64", pa.int64()),
    ("Float32", 0.5, "Float32", "float32", pa.float32()),
    ("Float64", 0.1, "Float64", "float64", pa.float64()),
    ("String", "naïve 名", "string", "object", pa.string()),
    ("Bytes", b"\x00\xff", "object", "object", pa.binary()),
    ("UnixTimestamp", _FEBRUARY, "datetime64[us, UTC]", "datetime64[us]", pa.timestamp("us", tz="UTC")),
]
_LISTS = [(f"List({d})", (v, v), "object", "object", pa.list_(arrow)) for d, v, _, _, arrow in _SCALARS]
_ALL = [*_SCALARS, *_LISTS]
_IDS = [row[0] for row in _ALL]


def _batch(*values: Any, dtype: str = "Int64", statuses: Sequence[FeatureStatus] = ()) -> UserFeaturesBatch:
    users = [
        UserFeatures.of(str(n), {"x": value}, statuses={"x": statuses[n]} if statuses else None)
        for n, value in enumerate(values)
    ]
    return UserFeaturesBatch([user.user_id for user in users], users, dtypes={"x": dtype})


def _wide(**columns: tuple[str, Any]) -> UserFeaturesBatch:
    """A batch of one user."""
    user = UserFeatures.of("a", {name: value for name, (_, value) in columns.items()})
    return UserFeaturesBatch(["a"], [user], dtypes={name: dtype for name, (dtype, _) in columns.items()})


@pytest.mark.parametrize(("dtype", "value", "in_pandas", "in_numpy", "in_arrow"), _ALL, ids=_IDS)
@pytest.mark.parametrize("there", [(True, True), (True, False), (False, False), ()], ids=str)
def test_a_column_has_its_features_type_with_all_some_and_no_values(  # noqa: PLR0917  # a table
    dtype: str, value: Any, in_pandas: str, in_numpy: str, in_arrow: pa.DataType, there: tuple[bool, ...]
) -> None:
    values = [value if is_there else None for is_there in there]
    batch = _batch(*values, dtype=dtype)
    frame = batch.to_pandas()
    assert list(frame.columns) == ["user_id", "x"]
    assert (str(frame["user_id"].dtype), str(frame["x"].dtype)) == ("string", in_pandas)
    assert list(frame["x"].isna()) == [not is_there for is_there in there]
    if not dtype.startswith("List("):
        assert all(cell == value for cell in frame["x"].dropna())
    table = batch.to_arrow()
    assert table.schema.field("x").type == in_arrow
    assert table.schema.names == ["user_id", "x"]
    assert table.column("x").to_pylist() == [list(v) if isinstance(v, tuple) else v for v in values]
    if in_numpy in {"bool", "int32", "int64"} and not all(there):
        with pytest.raises(ValueError, match=f"x of {there.index(False)} has no value, and a matrix of {in_numpy}"):
            batch.to_numpy()
        assert str(batch.to_numpy(dtype=float).dtype) == "float64"
    else:
        array = batch.to_numpy()
        assert (str(array.dtype), array.shape) == (in_numpy, (len(values), 1))
        assert [bool(pd.isna(cell)) if not isinstance(cell, np.ndarray) else False for cell in array[:, 0]] == [
            not is_there for is_there in there
        ]


@pytest.mark.parametrize(("dtype", "value"), [(d, v) for d, v, *_ in _LISTS], ids=_IDS[len(_SCALARS) :])
def test_a_list_among_objects_is_an_array_of_its_elements_type(dtype: str, value: Any) -> None:
    types = {d: numpy for d, _, _, numpy, _ in _SCALARS}
    for cells in (_batch(value, (), dtype=dtype).to_numpy()[:, 0], _batch(value, (), dtype=dtype).to_pandas()["x"]):
        assert [(str(cell.dtype), len(cell)) for cell in cells] == [(types[dtype[5:-1]], length) for length in (2, 0)]
    (cell,) = _batch(value, dtype=dtype).to_numpy()[:, 0]
    expected = [np.datetime64("2024-02-29T01:02:03.000004")] * 2 if "Timestamp" in dtype else list(value)
    assert list(cell) == expected


def test_a_null_time_in_a_list_is_no_time() -> None:
    batch = _batch((_FEBRUARY, None), dtype="List(UnixTimestamp)")
    assert np.isnat(batch.to_numpy()[0, 0]).tolist() == [False, True]
    assert batch.to_arrow().column("x").to_pylist() == [[_FEBRUARY, None]]


def test_nan_is_a_value_and_not_a_missing_one() -> None:
    batch = _batch(float("nan"), None, dtype="Float64")
    assert batch.to_arrow().column("x").null_count == 1
    assert batch.to_pandas()["x"].array._mask.tolist() == [False, True]


def test_a_large_integer_beside_a_missing_one_keeps_its_last_digit() -> None:
    frame = _batch(2**62 + 1, None).to_pandas()
    assert frame["x"][0] == 2**62 + 1


@pytest.mark.parametrize(
    ("columns", "common"),
    [
        ({"a": ("Int32", 1), "b": ("Int32", 2)}, "int32"),
        ({"a": ("Int32", 1), "b": ("Int64", 2)}, "int64"),
        ({"a": ("Bool", True), "b": ("Int32", 2)}, "int32"),
        ({"a": ("Int32", 1), "b": ("Float32", 0.5)}, "float64"),
        ({"a": ("Int64", None), "b": ("Float64", None)}, "float64"),
        ({"a": ("Int32", 1), "b": ("String", "x")}, "object"),
        ({"a": ("Int32", 1), "b": ("UnixTimestamp", _FEBRUARY)}, "object"),
    ],
)
def test_a_matrix_has_the_type_that_holds_all_of_its_features(columns: dict[str, tuple[str, Any]], common: str) -> None:
    assert str(_wide(**columns).to_numpy().dtype) == common


def test_a_matrix_has_the_named_features_in_the_order_of_the_names() -> None:
    batch = _wide(a=("Int32", 1), b=("String", "x"), c=("Float64", 2.5))
    assert batch.to_numpy(["c", "a"]).tolist() == [[2.5, 1.0]]
    assert batch.to_numpy([]).shape == (1, 0)
    assert batch.to_numpy(["a"], dtype="float32").dtype == np.float32
    with pytest.raises(KeyError, match="no features: z; there are a, b, c"):
        batch.to_numpy(["z"])
    with pytest.raises(TypeError, match="names is one text"):
        batch.to_numpy("a")


_STATUSES = [
    FeatureStatus.PRESENT,
    FeatureStatus.NULL_VALUE,
    FeatureStatus.NOT_FOUND,
    FeatureStatus.OUTSIDE_MAX_AGE,
    FeatureStatus.OUTSIDE_MAX_AGE,
]


@pytest.mark.parametrize(
    ("fills", "expected"),
    [
        ({}, [1, None, None, 4, None]),
        ({"too_old": KEPT}, [1, None, None, 4, None]),
        ({"too_old": None}, [1, None, None, None, None]),
        ({"null": -1}, [1, -1, None, 4, None]),
        ({"null": -1, "not_found": -2, "too_old": -3}, [1, -1, -2, -3, -3]),
        ({"not_found": {"x": -2}, "too_old": {}}, [1, None, -2, 4, None]),
    ],
    ids=str,
)
def test_the_caller_says_what_has_no_value(fills: Any, expected: list[int | None]) -> None:
    # The last is one that the gateway left out.
    batch = _batch(1, None, None, 4, None, statuses=_STATUSES)
    assert batch.to_arrow(**fills).column("x").to_pylist() == expected
    assert [None if pd.isna(cell) else cell for cell in batch.to_pandas(**fills)["x"]] == expected
    matrix = batch.to_numpy(dtype=float, **fills)[:, 0]
    assert [None if np.isnan(cell) else cell for cell in matrix] == expected


def test_with_all_filled_a_matrix_of_integers_stays_one() -> None:
    matrix = _batch(1, None, dtype="Int32").to_numpy(null=0)
    assert (matrix.dtype, matrix.tolist()) == (np.int32, [[1], [0]])


@pytest.mark.parametrize(("dtype", "value"), [(row[0], row[1]) for row in _ALL], ids=_IDS)
def test_a_fill_is_of_the_features_type(dtype: str, value: Any) -> None:
    batch = _batch(None, dtype=dtype)
    assert batch.to_arrow(null=value) == _batch(value, dtype=dtype).to_arrow()
    kind = dtype.removeprefix("List(")[:3]
    # An int is a value of a float.
    fitting = {kind, "Int"} if kind == "Flo" else {kind}
    wrong = [row[1] for row in _ALL if row[0].removeprefix("List(")[:3] not in fitting]
    wrong += [row[1] for row in _ALL if row[0].startswith("List(") is not dtype.startswith("List(")]
    for fill in [object(), datetime(2024, 1, 1), *wrong]:  # noqa: DTZ001  # a time without a zone
        with pytest.raises(TypeError, match=r"null is .*, and x is of the type"):
            batch.to_arrow(null=fill)


def test_times_among_objects_are_pythons_own() -> None:
    assert _wide(a=("UnixTimestamp", _FEBRUARY), b=("Int32", 1)).to_numpy().tolist() == [[_FEBRUARY, 1]]


def test_a_fill_of_another_zone_is_the_same_time() -> None:
    there = datetime(2024, 2, 29, 3, tzinfo=timezone(timedelta(hours=2)))
    assert _batch(None, dtype="UnixTimestamp").to_numpy(null=there)[0, 0] == np.datetime64("2024-02-29T01:00:00")


def test_a_fill_of_no_feature_is_refused() -> None:
    with pytest.raises(ValueError, match="no features: y"):
        _batch(None).to_pandas(null={"y": 1})


def test_an_unknown_type_is_asked_for() -> None:
    batch = UserFeaturesBatch(["a"], [UserFeatures.of("a", {"x": None})])
    for convert in (batch.to_pandas, batch.to_numpy, batch.to_arrow):
        with pytest.raises(ValueError, match=r"no user has a value of x, .* give dtypes={'x': 'Float64'}"):
            convert()
    assert batch.to_arrow(dtypes={"x": "List(Int32)"}).schema.field("x").type == pa.list_(pa.int32())
    with pytest.raises(ValueError, match="x is of the type Json, which this client does not know"):
        batch.to_arrow(dtypes={"x": "Json"})


@pytest.mark.parametrize(
    ("method", "module", "extra"),
    [("to_pandas", "pandas", "pandas"), ("to_numpy", "numpy", "numpy"), ("to_arrow", "pyarrow", "arrow")],
)
def test_without_its_extra_a_conversion_names_it(
    monkeypatch: pytest.MonkeyPatch, method: str, module: str, extra: str
) -> None:
    for name in ("_to_pandas", "_to_numpy", "_to_arrow"):
        monkeypatch.delitem(sys.modules, f"streamflow_features.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs {module}; .*'streamflow-features\[{extra}\]'"):
        getattr(_batch(1), method)()
