"""References resolve to one set of features to read, however they are ordered and however many there are."""

from collections.abc import Iterator, Sequence
from itertools import islice, permutations
from pathlib import Path
from typing import overload

import pytest
from feature_gateway.contract.file import load_contract
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError
from gateway_fakes import contract_content, written_contract
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_ALL = [f"{view['name']}:{one['name']}" for view in contract_content()["feature_views"] for one in view["features"]]
_CHURN = _ALL[:4]


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    return load_contract(written_contract(tmp_path))


def test_references_in_any_order_are_read_as_one_set_and_keep_their_own_order(contract: Contract) -> None:
    sets = [contract.feature_set_of_references(order) for order in permutations(_ALL[2:6])]
    assert len({id(feature_set.read_set) for feature_set in sets}) == 1
    for feature_set, order in zip(sets, permutations(_ALL[2:6]), strict=True):
        assert feature_set.references == list(order)
        read = feature_set.read_set.references
        positions = feature_set.read_positions or range(len(read))
        assert [read[position] for position in positions] == list(order)


def test_references_of_a_services_features_are_read_as_the_service_is(contract: Contract) -> None:
    service = contract.feature_set_of_service("churn_v1")
    assert service.read_positions is None
    for references in (_CHURN, _CHURN[::-1]):
        assert contract.feature_set_of_references(references).read_set is service
    assert contract.feature_set_of_references(_CHURN[:3]).read_set is not service


def test_references_in_constant_use_stay_known_while_others_come_and_go(contract: Contract) -> None:
    in_use = _ALL
    known = contract.feature_set_of_references(in_use)
    others = islice(permutations(_ALL), 1, 1101)
    assert all(
        contract.feature_set_of_references(other) is not known and contract.feature_set_of_references(in_use) is known
        for other in others
    )


class _Uncopied(Sequence[str]):
    """A million references that must not be looked at."""

    def __len__(self) -> int:
        return 1_000_000

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        raise AssertionError(index)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError


def test_too_many_references_are_refused_by_their_count_alone(contract: Contract) -> None:
    with pytest.raises(GatewayError, match="1000000 references, and 7 features in all") as raised:
        contract.feature_set_of_references(_Uncopied())
    assert raised.value.reason == ErrorReason.ERROR_REASON_FEATURE_REFERENCES_TOO_MANY
