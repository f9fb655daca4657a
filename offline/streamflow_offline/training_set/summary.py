"""Statistics of a training set's features and label, added up from its parts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from streamflow_offline.training_set.columns import AS_OF


def part_summary(table: pa.Table, *, features: Sequence[str], label: str | None) -> dict[str, Any]:
    """Return what the rows of a part add to the summary, as JSON types."""
    return {
        "features": {name: _values(table.column(name)) for name in features},
        "labels": _labels(table, label) if label else {},
    }


def feature_summaries(parts: Sequence[Mapping[str, Any]], features: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the dtype, the share of nulls, and the minimum, mean and maximum of each feature.

    The mean of a Bool is the share of true. A String has no mean. Bytes and lists have none of the three. Values that
    are not finite are left out of all three.
    """
    summaries = {}
    for name, dtype in features.items():
        found = [part["features"][name] for part in parts]
        rows, nulls, counted, not_finite = (
            sum(part[what] for part in found) for what in ("rows", "nulls", "counted", "not_finite")
        )
        least, greatest, sums = (
            [part[what] for part in found if part[what] is not None] for what in ("min", "max", "sum")
        )
        summaries[name] = {
            "dtype": dtype,
            "null_share": nulls / rows,
            "min": min(least, default=None),
            "mean": math.fsum(sums) / counted if sums and counted else None,
            "max": max(greatest, default=None),
        }
        if not_finite:
            summaries[name]["not_finite"] = not_finite
    return summaries


def label_rates(parts: Iterable[Mapping[str, Any]]) -> tuple[float | None, dict[str, float]]:
    """Return the mean label of all rows with a label, and that of each day; None when no row has a label."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for part in parts:
        for day, (total, count) in part["labels"].items():
            sums[day] = sums.get(day, 0) + total
            counts[day] = counts.get(day, 0) + count
    labelled = sum(counts.values())
    rate = math.fsum(sums.values()) / labelled if labelled else None
    return rate, {day: sums[day] / counts[day] for day in sorted(counts) if counts[day]}


def _values(column: pa.ChunkedArray) -> dict[str, Any]:
    result = {"rows": len(column), "nulls": column.null_count, "counted": 0, "not_finite": 0}
    result |= {"min": None, "max": None, "sum": None}
    values = column.drop_null()
    if pa.types.is_floating(values.type):
        finite = values.filter(pc.is_finite(values))
        result["not_finite"] = len(values) - len(finite)
        values = finite
    result["counted"] = len(values)
    if not len(values) or pa.types.is_binary(values.type) or pa.types.is_list(values.type):
        return result
    extremes = pc.min_max(values).as_py()
    result |= {name: _json(extremes[name]) for name in ("min", "max")}
    if not (pa.types.is_string(values.type) or pa.types.is_temporal(values.type)):
        result["sum"] = pc.sum(values).as_py()
    return result


def _labels(table: pa.Table, label: str) -> dict[str, list[float]]:
    labels = table.column(label)
    numbers = pa.table({AS_OF: table.column(AS_OF), "label": labels.cast(pa.float64())})
    grouped = numbers.group_by(AS_OF).aggregate([("label", "sum"), ("label", "count")]).to_pylist()
    return {_json(row[AS_OF]): [row["label_sum"] or 0.0, row["label_count"]] for row in grouped}


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value
