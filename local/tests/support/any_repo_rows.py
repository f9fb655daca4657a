"""The rows of `local/tests/any_repo`: some null, some older than their view's maximum age, some of one view alone."""

import math
from datetime import UTC, datetime, timedelta

import pandas as pd

NOW = datetime.now(UTC).replace(microsecond=0)
FRESH = NOW - timedelta(hours=1)
OLD = NOW - timedelta(days=30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EMBEDDING = [number / 768 for number in range(768)]


def rows() -> dict[str, pd.DataFrame]:
    """Return each view's rows, with the join keys and `event_timestamp`.

    These keys have no row in any view: user "nobody", driver 9, shop 9, city "NIL".
    """
    return {
        "types_fv": _frame(
            user_id=["elsewhere", "extreme", "infinite", "null"],
            event_timestamp=[FRESH] * 4,
            a_bool=[True, False, True, True],
            an_int32=pd.array([1, -(2**31), 0, None], dtype="Int32"),
            an_int64=[1, 2**63 - 1, 0, 5],
            a_float32=pd.array([0.5, 3.4028234663852886e38, math.inf, None], dtype="object"),
            a_float64=pd.array([29.85, 5e-324, math.nan, None], dtype="object"),
            a_string=["", "naïve 名 'quoted' \"twice\"", "NaN", None],
            some_bytes=[b"x", b"\x00\xff", b"NaN", None],
            a_timestamp=[OLD, EPOCH + timedelta(seconds=1), NOW, None],
        ),
        "lists_fv": _frame(
            user_id=["fresh", "one", "empty", "null", "null-elements"],
            event_timestamp=[FRESH] * 5,
            bools=[[True, False], [True], [], [True], [True, None]],
            # Feast refuses a list of integers with a null element.
            int32s=[[1, -(2**31), 2**31 - 1], [7], [], None, [7]],
            int64s=[[1, -(2**63), 2**63 - 1], [7], [], None, [7]],
            float32s=[[0.5, math.inf], [0.1], [], None, [0.5, None]],
            float64s=[[0.1, 5e-324, math.nan], [0.1], [], None, [0.1, None]],
            strings=[["a", "", "名"], ["NaN"], [], None, ["a", None]],
            bytes_list=[[b"\x00\xff", b""], [b"x"], [], None, [b"x", None]],
            timestamps=[[FRESH, OLD], [EPOCH + timedelta(seconds=1)], [], None, [FRESH, None]],
            embedding=[EMBEDDING, [1.0], [], None, [1.0]],
        ),
        "aging_fv": _frame(
            user_id=["fresh", "old", "null", "old-null"],
            event_timestamp=[FRESH, OLD, FRESH, OLD],
            score=pd.array([1.5, 2.5, None, None], dtype="Float64"),
            note=["seen"] * 4,
        ),
        "driver_fv": _frame(
            driver_id=[1, 2, 3, 2**40],
            event_timestamp=[FRESH, OLD, FRESH, FRESH],
            conv_rate=pd.array([0.5, 0.25, None, 1.0], dtype="Float32"),
            rating=pd.array([4.5, 3.5, None, 5.0], dtype="Float64"),
            trips=[30, 10, 7, 0],
        ),
        "shop_fv": _frame(
            shop_id=pd.array([1, 2, -(2**31)], dtype="int32"),
            event_timestamp=[FRESH, OLD, FRESH],
            title=["Corner shop", "Bakery", None],
            revenue=[1000.5, 20.25, 0.0],
        ),
        "city_fv": _frame(
            city_code=["LIS", "OPO", "FAR"],
            event_timestamp=[FRESH, OLD, FRESH],
            population=pd.array([2_900_000, 1_700_000, None], dtype="Int64"),
            hilly=[True, True, False],
        ),
        "driver_city_fv": _frame(
            driver_id=[1, 1, 2, 3],
            city_code=["LIS", "OPO", "LIS", "LIS"],
            event_timestamp=[FRESH, OLD, FRESH, OLD],
            trips=pd.array([20, 10, 5, 2], dtype="int32"),
            tips=pd.array([12.5, 6.0, None, None], dtype="Float64"),
        ),
        "delivery_fv": _frame(
            shop_id=pd.array([1, 1], dtype="int32"),
            driver_id=[1, 2],
            city_code=["LIS", "LIS"],
            event_timestamp=[FRESH, FRESH],
            minutes=pd.array([12.5, None], dtype="Float32"),
            late=[False, True],
        ),
        "everywhere_fv": _frame(event_timestamp=[FRESH], holiday=["none"]),
        "depot_fv": _frame(depot_id=[1], event_timestamp=[FRESH], attributes=[{"gate": "north"}], badge=["d1"]),
    }


def rows_left_out() -> dict[str, pd.DataFrame]:
    """Return the rows of views that are only offline for the tests: their Parquet files have them."""
    return {
        "bonus_fv": _frame(depot_id=[1], event_timestamp=[FRESH], bonus=[100]),
        "hour_fv": _frame(started_at=[FRESH], event_timestamp=[FRESH], weather=["rain"]),
    }


def _frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)
