"""How the values of each feature are distributed, day by day, read back from a written training set."""

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from streamflow_offline.training_set.columns import AS_OF

_BINS = 12
_MAX_TEXTS = 10
_NUMBERS = frozenset({"Int32", "Int64", "Float32", "Float64"})
_TEXTS = frozenset({"Bool", "String"})


class Distribution(NamedTuple):
    """A feature by day."""

    bins: dict[str, list[tuple[str, int]]]
    """How many values are in each bin, for each day; empty for a type that has no bins, or if there is no value."""

    null_shares: dict[str, float]


def distributions(manifest: dict[str, Any], out: Path) -> dict[str, Distribution]:
    """Return each feature's distribution. Memory grows with the number of days and bins, not of rows."""
    rows = _rows(manifest, out)
    return {name: _distribution(rows, name, about) for name, about in manifest["features"].items()}


def _rows(manifest: dict[str, Any], out: Path) -> pl.LazyFrame:
    if manifest["format"] == "csv":
        return pl.scan_csv(out, infer_schema=False)
    return pl.scan_parquet(out, hidden_file_prefix="_", hive_partitioning=True).with_columns(
        pl.col(AS_OF).cast(pl.String)
    )


def _distribution(rows: pl.LazyFrame, name: str, about: dict[str, Any]) -> Distribution:
    values = rows.select(pl.col(AS_OF), pl.col(name).alias("value"))
    if (dtype := about["dtype"]) in _NUMBERS:
        values = values.with_columns(pl.col("value").cast(pl.Float64))
    counted = values.group_by(AS_OF).agg(pl.len().alias("rows"), pl.col("value").null_count().alias("nulls"))
    shares = {day: nulls / count for day, count, nulls in sorted(counted.collect().iter_rows())}
    known = values.drop_nulls("value")
    if dtype in _NUMBERS and about["min"] is not None:
        return Distribution(_binned(known, float(about["min"]), float(about["max"])), shares)
    return Distribution(_texts(known) if dtype in _TEXTS else {}, shares)


def _binned(values: pl.LazyFrame, low: float, high: float) -> dict[str, list[tuple[str, int]]]:
    width = (high - low) / _BINS or 1.0
    finite = values.filter(pl.col("value").is_finite())
    number = ((pl.col("value") - low) / width).floor().clip(0, _BINS - 1).cast(pl.Int64)
    count = 1 if high == low else _BINS
    return _by_day(finite.with_columns(number.alias("bin")), [f"{low + each * width:.4g}" for each in range(count)])


def _texts(values: pl.LazyFrame) -> dict[str, list[tuple[str, int]]]:
    values = values.with_columns(pl.col("value").cast(pl.String))
    common = values.group_by("value").agg(pl.len()).sort("len", "value", descending=[True, False]).head(_MAX_TEXTS)
    texts = common.collect()["value"].to_list()
    places = {text: place for place, text in enumerate(texts)}
    number = pl.col("value").replace_strict(places, default=len(texts), return_dtype=pl.Int64)
    labels = [*texts, "others"]
    found = _by_day(values.with_columns(number.alias("bin")), labels)
    return found if any(bins[-1][1] for bins in found.values()) else {day: bins[:-1] for day, bins in found.items()}


def _by_day(values: pl.LazyFrame, labels: list[str]) -> dict[str, list[tuple[str, int]]]:
    counts = {
        (day, number): count for day, number, count in values.group_by(AS_OF, "bin").agg(pl.len()).collect().iter_rows()
    }
    days = sorted({day for day, _ in counts})
    return {day: [(label, counts.get((day, number), 0)) for number, label in enumerate(labels)] for day in days}
