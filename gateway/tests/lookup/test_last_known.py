"""The store of rows read last: bounded, never too old, never another's; the clock is the test's."""

from collections import OrderedDict

import pytest
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.lookup.last_known import LastKnown, RememberedRow
from feature_gateway.values import EncodedValue, FeatureStatus, Judgement, Row
from hypothesis import given, settings
from hypothesis import strategies as st
from row_fakes import present

_MAX_AGE_S = 60.0
_FEATURES = (ContractFeature("months_active", "profile_fv", "months_active", "Int64", None),)
# Alike in everything but their identity, as those of two contracts may be.
_SETS = (FeatureSet(_FEATURES, ()), FeatureSet(_FEATURES, ()))


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _row(value: int) -> Row:
    return present(b"%d" % value)


def _store(clock: Clock, *, max_rows: int = 10, max_bytes: int = 10**6) -> LastKnown:
    return LastKnown(max_age_s=_MAX_AGE_S, max_rows=max_rows, max_bytes=max_bytes, now_s=clock)


def test_a_row_is_given_with_its_age_up_to_the_maximum_age_and_not_beyond(clock: Clock) -> None:
    store = _store(clock)
    store.remember(_SETS[0], ("a",), _row(1), caller_key="p")
    clock.now_s += 60
    assert store.recall(_SETS[0], ("a",), caller_key="p") == RememberedRow(_row(1), 60.0)
    clock.now_s += 0.001
    assert store.recall(_SETS[0], ("a",), caller_key="p") is None


def test_a_row_read_again_takes_the_place_of_the_one_before(clock: Clock) -> None:
    store = _store(clock)
    store.remember(_SETS[0], ("a",), _row(1), caller_key="p")
    clock.now_s += 50
    store.remember(_SETS[0], ("a",), _row(2), caller_key="p")
    clock.now_s += 50
    assert store.recall(_SETS[0], ("a",), caller_key="p") == RememberedRow(_row(2), 50.0)
    assert len(store) == 1


def test_the_row_read_longest_ago_makes_room(clock: Clock) -> None:
    store = _store(clock, max_rows=2)
    for value, name in enumerate(("a", "b", "a", "c")):
        store.remember(_SETS[0], (name,), _row(value), caller_key="p")
    assert store.recall(_SETS[0], ("b",), caller_key="p") is None
    assert store.recall(_SETS[0], ("a",), caller_key="p") == RememberedRow(_row(2), 0.0)
    assert store.recall(_SETS[0], ("c",), caller_key="p") == RememberedRow(_row(3), 0.0)


def _embedding(length: int) -> Row:
    return present(bytes(8 * length))


def test_as_many_rows_make_room_as_a_large_row_needs(clock: Clock) -> None:
    store = _store(clock, max_rows=100, max_bytes=100_000)
    for number in range(100):
        store.remember(_SETS[0], (str(number),), _row(number), caller_key="p")
    assert len(store) == 100
    store.remember(_SETS[0], ("large",), _embedding(9000), caller_key="p")
    assert 1 < len(store) < 90
    assert store.recall(_SETS[0], ("0",), caller_key="p") is None
    assert store.recall(_SETS[0], ("99",), caller_key="p") == RememberedRow(_row(99), 0.0)
    assert store.recall(_SETS[0], ("large",), caller_key="p") == RememberedRow(_embedding(9000), 0.0)


def test_the_bytes_of_a_row_that_is_gone_are_free_again(clock: Clock) -> None:
    store = _store(clock, max_bytes=50_000)
    for _ in range(20):
        store.remember(_SETS[0], ("large",), _embedding(4000), caller_key="p")
        store.remember(_SETS[0], ("small",), _row(1), caller_key="p")
        assert len(store) == 2


def test_a_row_that_is_larger_than_the_store_is_not_kept(clock: Clock) -> None:
    store = _store(clock, max_bytes=1000)
    store.remember(_SETS[0], ("a",), _row(1), caller_key="p")
    store.remember(_SETS[0], ("large",), _embedding(1000), caller_key="p")
    assert len(store) == 0
    store.remember(_SETS[0], ("a",), _row(2), caller_key="p")
    assert store.recall(_SETS[0], ("a",), caller_key="p") == RememberedRow(_row(2), 0.0)


@pytest.mark.parametrize(
    ("feature_set", "name", "caller_key"),
    [
        pytest.param(_SETS[1], "a", "p", id="another contract's"),
        pytest.param(_SETS[0], "b", "p", id="another user's"),
        pytest.param(_SETS[0], "a", "q", id="another caller's"),
        pytest.param(_SETS[0], "a", "", id="nobody's"),
        pytest.param(_SETS[0], "p", "a", id="exchanged"),
        pytest.param(_SETS[0], "", "pa", id="run together"),
    ],
)
def test_a_row_is_given_for_just_what_it_was_read_for(
    clock: Clock, feature_set: FeatureSet, name: str, caller_key: str
) -> None:
    store = _store(clock)
    store.remember(_SETS[0], ("a",), _row(1), caller_key="p")
    assert store.recall(feature_set, (name,), caller_key=caller_key) is None


def test_rows_too_old_are_let_go_of_as_others_come(clock: Clock) -> None:
    store = _store(clock, max_rows=100)
    for number in range(100):
        store.remember(_SETS[0], (str(number),), _row(number), caller_key="p")
    clock.now_s += 61
    for number in range(100):
        store.remember(_SETS[0], (f"new {number}",), _row(number), caller_key="p")
    assert len(store) == 100
    clock.now_s += 61
    for _ in range(100):
        store.remember(_SETS[0], ("one",), _row(1), caller_key="p")
    assert len(store) == 1


def test_a_row_that_is_forgotten_is_given_no_more(clock: Clock) -> None:
    store = _store(clock)
    store.remember(_SETS[0], ("a",), _row(1), caller_key="p")
    store.forget(caller_key="q")
    assert store.recall(_SETS[0], ("a",), caller_key="p") is not None
    store.forget(caller_key="p")
    assert store.recall(_SETS[0], ("a",), caller_key="p") is None


def test_all_that_was_read_with_a_header_is_forgotten_at_once_and_what_is_read_later_is_not(clock: Clock) -> None:
    store = _store(clock)
    for caller_key in ("p", "q"):
        for feature_set in _SETS:
            for name in ("a", "b"):
                store.remember(feature_set, (name,), _row(1), caller_key=caller_key)
    store.forget(caller_key="p")
    store.remember(_SETS[0], ("b",), _row(2), caller_key="p")
    known = {
        (caller_key, number, name): int(row.row.values[0] or b"")
        for caller_key in ("p", "q")
        for number, feature_set in enumerate(_SETS)
        for name in ("a", "b")
        if (row := store.recall(feature_set, (name,), caller_key=caller_key))
    }
    assert known == {("p", 0, "b"): 2, ("q", 0, "a"): 1, ("q", 0, "b"): 1, ("q", 1, "a"): 1, ("q", 1, "b"): 1}


_FEATURE = st.tuples(st.none() | st.binary(), st.sampled_from(FeatureStatus), st.none() | st.integers(0, 2**63))


@given(features=st.lists(_FEATURE, max_size=20), known=st.booleans(), caller_key=st.text(), name=st.text())
def test_a_row_is_given_as_it_was_read(
    features: list[tuple[EncodedValue, FeatureStatus, int | None]],
    caller_key: str,
    name: str,
    *,
    known: bool,
) -> None:
    values, statuses, stamps_ns = zip(*features, strict=True) if features else ((), (), ())
    row = Row(values, Judgement(statuses, stamps_ns, known))
    store = _store(Clock())
    store.remember(_SETS[0], (name,), row, caller_key=caller_key)
    remembered = store.recall(_SETS[0], (name,), caller_key=caller_key)
    assert remembered is not None
    assert remembered.row == row


_Key = tuple[FeatureSet, str, str]
_keys = st.tuples(st.sampled_from(_SETS), st.sampled_from("abcd"), st.sampled_from(["", "p", "q"]))
_steps = st.lists(
    st.tuples(st.sampled_from(["remember", "remember", "forget"]), _keys, st.integers(0, 40)), max_size=60
)


@settings(max_examples=300)
@given(steps=_steps, max_rows=st.integers(1, 8))
def test_whatever_is_read_when_the_newest_rows_within_the_age_are_given_and_no_others(
    steps: list[tuple[str, _Key, int]], max_rows: int
) -> None:
    clock = Clock()
    store = _store(clock, max_rows=max_rows)
    newest: OrderedDict[_Key | int, tuple[float, Row]] = OrderedDict()
    for value, (action, key, pause_s) in enumerate(steps):
        clock.now_s += pause_s
        feature_set, name, caller_key = key
        if action == "forget":
            store.forget(caller_key=caller_key)
            # In their places, but out of reach.
            newest = OrderedDict(
                (number if isinstance(other, int) or other[2] == caller_key else other, row)
                for number, (other, row) in enumerate(newest.items(), start=100 * value)
            )
        else:
            newest.pop(key, None)
            store.remember(feature_set, (name,), _row(value), caller_key=caller_key)
            newest[key] = clock.now_s, _row(value)
        if len(newest) > max_rows:
            newest.popitem(last=False)
        assert len(store) <= max_rows
        for feature_set in _SETS:
            for name in "abcd":
                for caller_key in ("", "p", "q"):
                    read_s, row = newest.get((feature_set, name, caller_key), (0.0, _row(-1)))
                    age_s = clock.now_s - read_s
                    expected = RememberedRow(row, age_s) if age_s <= _MAX_AGE_S else None
                    assert store.recall(feature_set, (name,), caller_key=caller_key) == expected
