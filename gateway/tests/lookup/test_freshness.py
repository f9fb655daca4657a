"""Values that are too old are flagged, left out, or fail the call; the clock is the test's."""

import pytest
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import FeaturesTooOldError
from feature_gateway.lookup.freshness import StalenessPolicy, judged
from feature_gateway.values import FeatureStatus, Judgement, Row

_S = 1_000_000_000
_NOW_NS = 1_000_000 * _S
_SET = FeatureSet(
    (
        ContractFeature("aging", "v", "aging", "Int64", 100.0),
        ContractFeature("ageless", "w", "ageless", "Int64", None),
        ContractFeature("absent", "x", "absent", "Int64", 100.0),
        ContractFeature("nothing", "y", "nothing", "Int64", 100.0),
    ),
    (),
)
_P, _N, _F, _O = (
    FeatureStatus.PRESENT,
    FeatureStatus.NULL_VALUE,
    FeatureStatus.NOT_FOUND,
    FeatureStatus.OUTSIDE_MAX_AGE,
)
_VALUES = (b"\x20\x01", b"\x20\x02", None, None)


def _row(age_s: float) -> Row:
    stamp = _NOW_NS - int(age_s * _S)
    return Row(_VALUES, Judgement((_P, _P, _F, _N), (stamp, stamp, None, stamp), known=True))


def _judged(age_s: float, policy: StalenessPolicy, *, max_age_s: float | None = None) -> Row:
    return judged(_row(age_s), _SET, now_ns=_NOW_NS, max_age_s=max_age_s, policy=policy)


@pytest.mark.parametrize("policy", StalenessPolicy)
@pytest.mark.parametrize("age_s", [-5, 0, 99.9, 100])
def test_a_value_within_its_maximum_age_is_left_as_it_is(policy: StalenessPolicy, age_s: float) -> None:
    assert _judged(age_s, policy) == _row(age_s)


def test_flag_keeps_the_value() -> None:
    row = _judged(100.001, StalenessPolicy.FLAG)
    assert row.values == _VALUES
    assert row.judgement.statuses == (_O, _P, _F, _N)
    assert row.judgement.event_timestamps_ns == _row(100.001).judgement.event_timestamps_ns


def test_omit_leaves_the_value_out() -> None:
    row = _judged(101, StalenessPolicy.OMIT)
    assert row.values == (None, *_VALUES[1:])
    assert row.judgement.statuses == (_O, _P, _F, _N)


def test_fail_names_the_features_and_their_ages() -> None:
    with pytest.raises(FeaturesTooOldError) as raised:
        _judged(101.5, StalenessPolicy.FAIL)
    assert raised.value.metadata == {"aging": "101.500"}
    assert "aging (101.500 s)" in raised.value.message


def test_a_requests_maximum_age_stands_in_for_the_views() -> None:
    assert _judged(101, StalenessPolicy.FLAG, max_age_s=200).judgement.statuses == (_P, _P, _F, _N)
    assert _judged(50, StalenessPolicy.FLAG, max_age_s=10).judgement.statuses == (_O, _O, _F, _N)
    assert _judged(1, StalenessPolicy.FLAG, max_age_s=0).judgement.statuses == (_O, _O, _F, _N)


def test_a_null_or_absent_value_is_never_too_old() -> None:
    with pytest.raises(FeaturesTooOldError) as raised:
        _judged(500, StalenessPolicy.FAIL, max_age_s=1)
    assert set(raised.value.metadata) == {"aging", "ageless"}
