"""What Feast's own `feast serve` answers from each online store: the facts that the gateway's truth table rests on.

A test that fails with a new Feast says which of the gateway's rules may be simplified, or has to change.
"""

from dataclasses import dataclass

import pytest
from any_repo_odd_rows import TIMELESS
from any_repo_rows import FRESH, OLD
from feast_http import columns_of

_EPOCH = "1970-01-01T00:00:00Z"
_FRESH, _OLD = (stamp.isoformat().replace("+00:00", "Z") for stamp in (FRESH, OLD))
_ABSENT = {"redis": "PRESENT", "sqlite": "NOT_FOUND", "postgres": "NOT_FOUND"}
"""The status of a row or a feature that the store does not have."""


@dataclass(frozen=True)
class Feast:
    """Feast's own feature server on an online store."""

    online_store: str
    url: str

    def score_and_note(self, user_id: str) -> list[tuple[object, str, str]]:
        columns = columns_of(self.url, features=["aging_fv:score", "aging_fv:note"], entities={"user_id": [user_id]})
        return [columns["score"][0], columns["note"][0]]

    @property
    def absent(self) -> str:
        return _ABSENT[self.online_store]


@pytest.fixture(scope="module", params=["sqlite", "redis", pytest.param("postgres", marks=pytest.mark.slow)])
def feast(request: pytest.FixtureRequest) -> Feast:
    return Feast(request.param, request.getfixturevalue(f"feast_serve_on_{request.param}"))


def test_a_value_is_present_with_its_time_however_old(feast: Feast) -> None:
    assert feast.score_and_note("fresh") == [(1.5, "PRESENT", _FRESH), ("seen", "PRESENT", _FRESH)]
    assert feast.score_and_note("old") == [(2.5, "PRESENT", _OLD), ("seen", "PRESENT", _OLD)]


def test_a_stored_null_is_present(feast: Feast) -> None:
    assert feast.score_and_note("null") == [(None, "PRESENT", _FRESH), ("seen", "PRESENT", _FRESH)]
    assert feast.score_and_note("old-null") == [(None, "PRESENT", _OLD), ("seen", "PRESENT", _OLD)]


def test_a_row_that_is_not_there_is_null_at_the_epoch(feast: Feast) -> None:
    assert feast.score_and_note("nobody") == [(None, feast.absent, _EPOCH)] * 2


def test_a_feature_that_a_row_lacks_is_null_at_the_rows_time(feast: Feast) -> None:
    assert feast.score_and_note("partial") == [(None, feast.absent, _FRESH), ("seen", "PRESENT", _FRESH)]


def test_a_row_without_a_time_is_at_the_epoch(feast: Feast) -> None:
    if feast.online_store in TIMELESS:
        assert feast.score_and_note("timeless") == [(7.5, "PRESENT", _EPOCH), (None, "PRESENT", _EPOCH)]


def test_the_join_keys_come_along_at_the_epoch(feast: Feast) -> None:
    columns = columns_of(feast.url, features=["shop_fv:title"], entities={"shop_id": [1, 9]})
    assert columns["shop_id"] == [(1, "PRESENT", _EPOCH), (9, "PRESENT", _EPOCH)]
    assert columns["title"] == [("Corner shop", "PRESENT", _FRESH), (None, feast.absent, _EPOCH)]


def test_keys_are_found_by_all_of_their_parts(feast: Feast) -> None:
    columns = columns_of(
        feast.url,
        features=["delivery_fv:minutes", "driver_city_fv:tips", "driver_fv:rating"],
        entities={"shop_id": [1, 1, 2], "driver_id": [1, 2**40, 1], "city_code": ["LIS", "LIS", "OPO"]},
    )
    assert columns["minutes"] == [(12.5, "PRESENT", _FRESH), *[(None, feast.absent, _EPOCH)] * 2]
    assert columns["tips"] == [(12.5, "PRESENT", _FRESH), (None, feast.absent, _EPOCH), (6.0, "PRESENT", _OLD)]
    assert columns["rating"] == [(4.5, "PRESENT", _FRESH), (5.0, "PRESENT", _FRESH), (4.5, "PRESENT", _FRESH)]


def test_an_empty_list_is_a_value_and_no_list_is_a_null(feast: Feast) -> None:
    columns = columns_of(
        feast.url,
        features=["lists_fv:float64s", "lists_fv:bytes_list", "lists_fv:timestamps"],
        entities={"user_id": ["fresh", "empty", "null", "nobody"]},
    )
    rest: list[tuple[object, str, str]] = [
        ([], "PRESENT", _FRESH),
        (None, "PRESENT", _FRESH),
        (None, feast.absent, _EPOCH),
    ]
    assert columns["float64s"] == [([0.1, 5e-324, "NaN"], "PRESENT", _FRESH), *rest]
    assert columns["bytes_list"] == [(["AP8=", ""], "PRESENT", _FRESH), *rest]
    seconds = [int(FRESH.timestamp()), int(OLD.timestamp())]
    assert columns["timestamps"] == [(seconds, "PRESENT", _FRESH), *rest]


def test_a_service_that_renames_is_asked_for_by_its_name_and_answers_with_its_aliases(feast: Feast) -> None:
    columns = columns_of(
        feast.url,
        feature_service="routes_v1",
        full_feature_names=True,
        entities={"origin_code": ["LIS", "NIL"], "destination_code": ["OPO", "LIS"]},
    )
    assert columns["origin__population"] == [(2_900_000, "PRESENT", _FRESH), (None, feast.absent, _EPOCH)]
    assert columns["destination__population"] == [(1_700_000, "PRESENT", _OLD), (2_900_000, "PRESENT", _FRESH)]
