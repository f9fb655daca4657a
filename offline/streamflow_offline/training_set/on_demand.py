"""On-demand features: Feast's own functions, over point-in-time rows and the request data of the entity rows."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast import OnDemandFeatureView

from streamflow_offline.errors import JobError
from streamflow_offline.quoting import quoted
from streamflow_offline.training_set.columns import DTYPES


@dataclass(frozen=True, kw_only=True)
class RequestField:
    """A column of request data, which the entity rows have to bring."""

    name: str
    dtype: str


@dataclass(frozen=True, kw_only=True)
class OnDemandView:
    """An applied on-demand feature view, as a contract has it, with its function."""

    applied: OnDemandFeatureView
    row_by_row: bool
    inputs: tuple[str, ...]
    request: tuple[RequestField, ...]

    @property
    def name(self) -> str:
        """The view's name."""
        return str(self.applied.name)

    @property
    def function(self) -> str:
        """The source of the function."""
        transformation = self.applied.feature_transformation
        return str(transformation.udf_string) if transformation else ""

    def outputs(self, rows: pa.Table, dtypes: dict[str, str]) -> dict[str, pa.ChunkedArray]:
        """Return the features `dtypes` of rows that have the inputs and the request data, each of its type.

        A function that does not work row by row gets one row at a time, as from a caller who asks for one user. Raises
        JobError when the function raises, and when it does not return each feature of each row, of its type.
        """
        rows = rows.select([*self.inputs, *(field.name for field in self.request)])
        batches = [rows] if self.row_by_row and not self.applied.singleton else _each_row(rows)
        found: dict[str, list[pa.Array]] = {name: [] for name in dtypes}
        for batch in batches:
            try:
                returned = self._returned(batch)
                for name, dtype in dtypes.items():
                    found[name].append(_typed(returned[name], DTYPES[dtype], rows=len(batch)))
            except Exception as error:
                raise JobError(
                    f"the function of {self.name} fails: {type(error).__name__}: {quoted(str(error))}; it has to "
                    "return a value of each feature's type, or null, for every row, also where inputs are null"
                ) from error
        return {name: pa.chunked_array(arrays, DTYPES[dtypes[name]]) for name, arrays in found.items()}

    def _returned(self, batch: pa.Table) -> Any:
        """Call the function as Feast's feature server does."""
        if self.applied.mode != "python":
            return self.applied.transform_arrow(batch)
        returned = self.applied.transform_dict(batch.to_pydict())
        return {name: [value] for name, value in returned.items()} if self.applied.singleton else returned


def listed_fields(fields: Sequence[RequestField]) -> str:
    """Return columns with their types, as text."""
    return ", ".join(f"{field.name} ({field.dtype})" for field in fields)


def refuse_missing(names: Collection[str], fields: Sequence[RequestField], *, where: str) -> None:
    """Raise JobError for entity rows that lack a column of request data."""
    missing = [field for field in fields if field.name not in names]
    if missing:
        raise JobError(f"{where} lacks the request data {listed_fields(missing)}, which the feature service needs")


def refuse_unsendable(rows: pa.Table, fields: Sequence[RequestField]) -> None:
    """Raise JobError for request data that no caller can send: null, and floats that are not finite."""
    for field in fields:
        column = rows.column(field.name)
        values = column.combine_chunks().flatten() if pa.types.is_list(column.type) else column
        finite = pc.all(pc.is_finite(values)).as_py() if pa.types.is_floating(values.type) else True
        if column.null_count or values.null_count or finite is False:
            raise JobError(
                f"the entity rows have no {field.name}, or one that is not finite, in some rows; the gateway takes "
                f"request data without null, NaN and infinities: give each row a {field.dtype}, or leave the row out"
            )


def _each_row(rows: pa.Table) -> Iterator[pa.Table]:
    return (rows.slice(number, 1) for number in range(len(rows)))


def _typed(values: Any, kind: pa.DataType, *, rows: int) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks().cast(kind)
    array = pa.array(values, kind)
    if len(array) != rows:
        raise ValueError(f"{len(array)} values for {rows} rows")
    return array
