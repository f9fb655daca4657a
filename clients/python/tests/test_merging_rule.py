"""How many calls leave together, when callers ask again as soon as they are answered."""

import pytest
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow_features._merging import Call, Flight, LaneKey, Merger
from streamflow_features._selections import ask

_ROUNDS = 10


def _sizes(callers: int) -> list[int]:
    """How many calls each flight had, of callers that ask again once the next flight has left."""
    selection, _ = ask("")
    key, merger, sizes = LaneKey(selection, ()), Merger[Call](), []

    def arrive() -> Flight[Call] | None:
        return merger.arrive(key, Call(request=GetUserFeaturesRequest(user_id="u"), deadline=1.0), 0.0)

    flight = arrive()
    assert [arrive() for _ in range(callers - 1)] == [None] * (callers - 1)
    for _ in range(_ROUNDS):
        assert flight is not None
        sizes.append(len(flight.calls))
        answered, flight = flight, merger.land(flight, 0.0, answered=True)
        for call in answered.calls:
            merger.leave(call)
            new = arrive()
            flight = flight or new
    return sizes


@pytest.mark.parametrize("callers", [17, 64, 200])
def test_many_callers_are_in_two_flights_of_one_size_so_that_one_is_read_while_the_other_is_made(callers: int) -> None:
    assert set(_sizes(callers)[-4:]) <= {callers // 2, (callers + 1) // 2}


@pytest.mark.parametrize("callers", [2, 5, 9])
def test_few_callers_leave_together(callers: int) -> None:
    assert set(_sizes(callers)[-2:]) == {1, callers - 1}
