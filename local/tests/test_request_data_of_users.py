"""Request data from the Python client and curl's form of them reach the functions of Feast's own feature server."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from any_gateway import Gateway, gateway_before
from any_repo import AnyRepo
from feast_contract import build_contract, write_contract
from feast_contract.registry import read_definitions
from streamflow_features import AsyncFeatureClient, FeatureClient, InvalidArgument, Question, UserFeatures

_TIMEOUT_S = 20
_FEATURES = ["trip_price:km_per_bag"]


@pytest.fixture(scope="module")
def drivers(
    any_repo_on_sqlite: AnyRepo, feast_serve_on_sqlite: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway whose users are drivers."""
    folder = tmp_path_factory.mktemp("drivers")
    contract = folder / "contract.json"
    write_contract(build_contract(read_definitions(any_repo_on_sqlite.folder)), contract)
    with gateway_before(feast_serve_on_sqlite, contract=contract, logs=folder, GATEWAY_USER_ENTITY="driver") as gateway:
        yield gateway


def test_one_user_and_each_user_of_a_batch_have_their_own(drivers: Gateway) -> None:
    with FeatureClient(drivers.target, timeout_s=_TIMEOUT_S, follow_health=False) as client:
        one = client.get_user_features("1", features=_FEATURES, request_data={"km": 9, "bags": 4})
        batch = client.batch_get_user_features(
            ["1", "1", "2", "1"],
            features=_FEATURES,
            request_data={"km": 12.5},
            request_data_by_user=[{"bags": 1}, {"bags": 2}, {"bags": 5}, {"bags": 1.5}],
        )
        with pytest.raises(InvalidArgument) as raised:
            client.get_user_features("1", features=_FEATURES, request_data={"km": 9})
    assert dict(one) == {"km_per_bag": 2.25}
    assert [result["km_per_bag"] for result in batch if isinstance(result, UserFeatures)] == [12.5, 6.25, 2.5]
    assert [result.reason for result in batch if not isinstance(result, UserFeatures)] == [
        "ERROR_REASON_REQUEST_DATA_INVALID"
    ]
    assert raised.value.reason == "ERROR_REASON_REQUEST_DATA_MISSING"
    assert raised.value.metadata["name"] == "bags"


async def test_questions_of_a_stream_that_are_merged_keep_their_own(drivers: Gateway) -> None:
    async def questions() -> AsyncIterator[Question]:
        for number in range(60):
            data = {"km": number / 7, "bags": 1 + number % 3}
            yield Question("1", features=_FEATURES, request_data=data)

    async with AsyncFeatureClient(drivers.target, timeout_s=_TIMEOUT_S, follow_health=False) as client:
        values = [
            answer.result["km_per_bag"]
            async for answer in client.stream_user_features(questions())
            if isinstance(answer.result, UserFeatures)
        ]
    expected = [number / 7 / (1 + number % 3) for number in range(60)]
    assert sorted(map(str, values)) == sorted(map(str, expected))


async def test_curls_form_of_request_data_is_read_in_their_types(drivers: Gateway) -> None:
    path = f"{drivers.http}/features/1"
    parameters = {"feature": _FEATURES[0], "request_data.km": "9", "request_data.bags": "4", "timeout_s": "20"}
    async with aiohttp.ClientSession() as session, session.get(path, params=parameters) as reply:
        assert (await reply.json())["features"] == {"km_per_bag": 2.25}
