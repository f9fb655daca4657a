"""Cells that agree never differ, and whatever is planted in one of them is found, on either side."""

import math
import struct
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from streamflow_features import FeatureStatus
from streamflow_offline.audit.compare import Kind, OfflineCell, OnlineCell, compared, differences

FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)
JANUARY = datetime(2024, 1, 31, tzinfo=UTC)

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Bool": st.booleans(),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Float32": st.floats(width=32),
    "Float64": st.floats(),
    "String": st.text(),
    "Bytes": st.binary(),
    "UnixTimestamp": st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
}
_VALUES |= {f"List({dtype})": st.lists(values, max_size=3) for dtype, values in _VALUES.items()}
_DTYPES = st.sampled_from(sorted(_VALUES))
_TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # as above


@st.composite
def _typed(draw: st.DrawFn, count: int = 1) -> tuple[Any, ...]:
    dtype = draw(_DTYPES)
    return (dtype, *(draw(_VALUES[dtype]) for _ in range(count)))


def _offline(value: Any, event_timestamp: datetime | None = FEBRUARY) -> OfflineCell:
    return OfflineCell(value=value, event_timestamp=event_timestamp)


def _online(value: Any, event_timestamp: datetime | None = FEBRUARY) -> OnlineCell:
    status = FeatureStatus.NULL_VALUE if value is None else FeatureStatus.PRESENT
    return OnlineCell(value=value, event_timestamp=event_timestamp, status=status)


def _bits(value: Any) -> Any:
    if isinstance(value, list):
        return [*map(_bits, value)]
    return struct.pack(">d", math.nan if math.isnan(value) else value) if isinstance(value, float) else value


NOBODY_OFFLINE, NOBODY_ONLINE = OfflineCell(), OnlineCell(status=FeatureStatus.NOT_FOUND)


@given(typed=_typed(), event_timestamp=_TIMES)
def test_equal_cells_never_differ(typed: tuple[str, Any], event_timestamp: datetime) -> None:
    dtype, value = typed
    assert not differences(dtype, _offline(value, event_timestamp), _online(value, event_timestamp))
    assert not differences(dtype, _offline(None, event_timestamp), _online(None, event_timestamp))


@given(typed=_typed(count=2))
def test_two_values_differ_whichever_side_has_which(typed: tuple[str, Any, Any]) -> None:
    dtype, one, other = typed
    assume(_bits(one) != _bits(other))
    for offline, online in ((one, other), (other, one)):
        found = differences(dtype, _offline(offline), _online(online))
        assert found in ({Kind.VALUE}, {Kind.TYPE})
        # What a narrower type makes of the trained value is the one case that is not VALUE.
        if "Float64" not in dtype and "UnixTimestamp" not in dtype:
            assert found == {Kind.VALUE}


@given(typed=_typed())
def test_null_on_one_side_is_found(typed: tuple[str, Any]) -> None:
    dtype, value = typed
    assert differences(dtype, _offline(value), _online(None)) == {Kind.NULL}
    assert differences(dtype, _offline(None), _online(value)) == {Kind.NULL}


@given(typed=_typed(), event_timestamp=_TIMES)
def test_a_row_that_one_side_lacks_is_found(typed: tuple[str, Any], event_timestamp: datetime) -> None:
    dtype, value = typed
    for held in (value, None):
        assert differences(dtype, _offline(held, event_timestamp), NOBODY_ONLINE) == {Kind.MISSING_ONLINE}
        assert differences(dtype, NOBODY_OFFLINE, _online(held, event_timestamp)) == {Kind.MISSING_OFFLINE}
    assert not differences(dtype, NOBODY_OFFLINE, NOBODY_ONLINE)


@given(typed=_typed(), event_timestamp=_TIMES, apart=st.timedeltas(timedelta(microseconds=1), timedelta(days=400)))
def test_another_event_timestamp_is_found_by_its_direction(
    typed: tuple[str, Any], event_timestamp: datetime, apart: timedelta
) -> None:
    dtype, value = typed
    later = event_timestamp + apart
    assert differences(dtype, _offline(value, later), _online(value, event_timestamp)) == {Kind.ONLINE_OLDER}
    assert differences(dtype, _offline(value, event_timestamp), _online(value, later)) == {Kind.ONLINE_NEWER}


def test_a_month_behind_differs_in_value_and_event_timestamp() -> None:
    found = differences("Int64", _offline(2, FEBRUARY), _online(1, JANUARY))
    assert found == {Kind.VALUE, Kind.ONLINE_OLDER}


@pytest.mark.parametrize(
    ("dtype", "offline", "online", "kinds"),
    [
        # NUMERIC and INT columns may be the source of a Float64 feature.
        ("Float64", Decimal("29.85"), 29.85, set()),
        ("Float64", 3, 3.0, set()),
        ("Float64", math.nan, -math.nan, set()),
        ("Float64", 0.0, -0.0, {Kind.VALUE}),
        ("Float64", 0.1, math.nextafter(0.1, 1), {Kind.VALUE}),
        ("Float64", 29.85, 29.850000381469727, {Kind.TYPE}),
        ("Float64", 1e300, math.inf, {Kind.VALUE}),
        ("Float32", 29.85, 29.850000381469727, set()),
        ("Float32", 1e300, 1.0, {Kind.TYPE}),
        ("Float64", True, 1.0, {Kind.TYPE}),
        ("Float64", "1.0", 1.0, {Kind.TYPE}),
        ("Int64", 3.0, 3, {Kind.TYPE}),
        ("Int64", 1, True, {Kind.TYPE}),
        ("Int64", 2**63, 1, {Kind.TYPE}),
        ("Int32", 2**31, 1, {Kind.TYPE}),
        ("Bool", 1, True, {Kind.TYPE}),
        ("String", "dsl", "DSL", {Kind.VALUE}),
        ("String", 1, "1", {Kind.TYPE}),
        ("Bytes", b"\x00", b"", {Kind.VALUE}),
        ("Bytes", "x", b"x", {Kind.TYPE}),
        # Feast gives offline times in UTC without saying so.
        ("UnixTimestamp", datetime(2024, 1, 31, 12), datetime(2024, 1, 31, 12, tzinfo=UTC), set()),  # noqa: DTZ001
        ("UnixTimestamp", date(2024, 1, 31), JANUARY, set()),
        ("UnixTimestamp", JANUARY + timedelta(milliseconds=1500), JANUARY + timedelta(seconds=1), {Kind.TYPE}),
        ("UnixTimestamp", JANUARY, FEBRUARY, {Kind.VALUE}),
        ("UnixTimestamp", 1706659200, JANUARY, {Kind.TYPE}),
        # Training has lists, the client tuples.
        ("List(Int64)", [1, 2], (1, 2), set()),
        ("List(Int64)", [1, 2], (2, 1), {Kind.VALUE}),
        ("List(Int64)", [1, 2], (1,), {Kind.VALUE}),
        ("List(Int64)", [], (), set()),
        ("List(Int64)", [], None, {Kind.NULL}),
        ("List(Int64)", [1.0], (1,), {Kind.TYPE}),
        ("List(Int64)", 1, (1,), {Kind.TYPE}),
        ("List(Float32)", [29.85, None, Decimal("0.5")], (29.850000381469727, math.nan, 0.5), set()),
        ("List(Float64)", [29.85, 1.0], (29.850000381469727, 1.0), {Kind.TYPE}),
        ("List(String)", ["a", None], ("a", ""), {Kind.VALUE}),
        ("List(Bytes)", [b"\x00"], (b"\x00",), set()),
        ("List(UnixTimestamp)", [datetime(2024, 1, 31), None], (JANUARY, None), set()),  # noqa: DTZ001
        (
            "List(UnixTimestamp)",
            [JANUARY + timedelta(milliseconds=1500)],
            (JANUARY + timedelta(seconds=1),),
            {Kind.TYPE},
        ),
    ],
)
def test_values_are_compared_as_their_type_has_it(dtype: str, offline: Any, online: Any, kinds: set[Kind]) -> None:
    assert differences(dtype, _offline(offline), _online(online)) == kinds


def test_a_row_beyond_its_ttl_is_no_value_on_either_side() -> None:
    offline = OfflineCell(event_timestamp=JANUARY, too_old=True)
    left_out = OnlineCell(event_timestamp=JANUARY, status=FeatureStatus.OUTSIDE_MAX_AGE)
    assert not differences("Int64", offline, left_out)
    assert not differences("Int64", offline, NOBODY_ONLINE)
    assert differences("Int64", offline, _online(1, JANUARY)) == {Kind.NULL}
    assert differences("Int64", offline, replace(left_out, event_timestamp=FEBRUARY)) == {Kind.ONLINE_NEWER}
    assert differences("Int64", _offline(1, JANUARY), left_out) == {Kind.NULL}


def test_what_the_gateway_refuses_to_serve_is_of_another_type() -> None:
    refused = OnlineCell(error="is not Int64", wrong_type=True)
    assert differences("Int64", _offline(1), refused) == {Kind.TYPE}
    assert differences("Int64", NOBODY_OFFLINE, refused) == {Kind.TYPE}


def test_a_user_whose_id_the_gateway_refuses_is_missing_if_training_has_them() -> None:
    refused = OnlineCell(error="user_id is not of the form …")
    assert differences("Int64", _offline(1), refused) == {Kind.MISSING_ONLINE}
    assert not differences("Int64", NOBODY_OFFLINE, refused)


def test_what_was_not_asked_for_does_not_differ() -> None:
    assert compared("Int64", _offline(1), None).kinds == frozenset()
    assert compared("Int64", _offline(1), NOBODY_ONLINE).kinds == {Kind.MISSING_ONLINE}
