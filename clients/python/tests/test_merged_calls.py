"""Both faces of the client merge calls that are made while others are under way, in front of a real gateway."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession, web
from faces import FEATURES, Face, Held, face_of, one_under_way, until, user
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, health_becomes, serving
from request_data_fakes import PACE
from streamflow_features import (
    DeadlineExceeded,
    FeatureServingError,
    InvalidArgument,
    NotFound,
    Unavailable,
)


@pytest.fixture(params=["sync", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def face(kind: str, gateway: Gateway) -> AsyncIterator[Face]:
    async with face_of(kind, gateway.addresses.grpc) as face:
        yield face


@pytest.fixture
def held(feature_server: FakeFeatureServer) -> Held:
    feature_server.answer = held = Held()
    return held


async def _calls(gateway: Gateway) -> dict[str, int]:
    """How many calls the gateway has ended, by method."""
    async with ClientSession() as session, session.get(f"{gateway.http_url}/metrics") as reply:
        lines = (await reply.text()).splitlines()
    counts: dict[str, int] = {}
    for line in lines:
        if line.startswith("gateway_calls_total{"):
            method = line.partition('method="')[2].partition('"')[0]
            counts[method] = counts.get(method, 0) + int(float(line.rpartition(" ")[2]))
    return counts


async def test_calls_that_are_made_while_one_is_under_way_leave_as_one_batch(
    face: Face, held: Held, gateway: Gateway
) -> None:
    first = await one_under_way(face, held)
    others = [face.begin(user(number), features=FEATURES) for number in (1, 2, 2, 3)]
    await until(lambda: face.waiting() == 4)
    held.gate.set()
    answers = await asyncio.gather(first, *others)
    assert [answer["months_active"] for answer in answers] == [0, 1, 2, 2, 3]
    assert [answer.user_id for answer in answers] == [user(number) for number in (0, 1, 2, 2, 3)]
    assert await _calls(gateway) == {"GetUserFeatures": 1, "BatchGetUserFeatures": 1}


async def test_a_client_that_does_not_merge_sends_each_call_alone(kind: str, held: Held, gateway: Gateway) -> None:
    held.gate.set()
    async with face_of(kind, gateway.addresses.grpc, merge_calls=False) as face:
        await asyncio.gather(*(face.begin(user(number), features=FEATURES) for number in range(8)))
    assert await _calls(gateway) == {"GetUserFeatures": 8}


async def test_a_bad_id_is_the_error_of_its_caller_alone_and_the_same_as_without_merging(
    face: Face, held: Held, gateway: Gateway, kind: str
) -> None:
    first = await one_under_way(face, held)
    others = [face.begin(user_id, features=FEATURES) for user_id in (user(1), "nobody", "", user(2))]
    await until(lambda: face.waiting() == 4)
    held.gate.set()
    ended: list[Any] = await asyncio.gather(first, *others, return_exceptions=True)
    assert [one["months_active"] for one in (ended[0], ended[1], ended[4])] == [0, 1, 2]
    async with face_of(kind, gateway.addresses.grpc, merge_calls=False) as alone:
        for user_id, merged in (("nobody", ended[2]), ("", ended[3])):
            with pytest.raises(InvalidArgument) as raised:
                await alone.begin(user_id, features=FEATURES)
            assert type(merged) is InvalidArgument
            assert (str(merged), vars(merged)) == (str(raised.value), vars(raised.value))


async def test_what_fails_a_batch_is_raised_in_each_caller_as_an_exception_of_its_own(face: Face, held: Held) -> None:
    first = face.begin(user(0), feature_service="nope")
    others = [face.begin(user(number), feature_service="nope") for number in range(1, 20)]
    errors: list[Any] = await asyncio.gather(first, *others, return_exceptions=True)
    assert {type(error) for error in errors} == {NotFound}
    assert len({id(error) for error in errors}) == 20
    assert {error.reason for error in errors} == {"ERROR_REASON_FEATURE_SERVICE_UNKNOWN"}
    assert not held.headers


async def test_a_caller_that_waits_has_a_deadline_of_its_own(face: Face, held: Held) -> None:
    first = await one_under_way(face, held)
    short = face.begin(user(1), features=FEATURES, timeout_s=0.1)
    patient = face.begin(user(2), features=FEATURES)
    with pytest.raises(DeadlineExceeded):
        await short
    assert not patient.done()
    held.gate.set()
    assert [(await one)["months_active"] for one in (first, patient)] == [0, 2]


async def test_a_short_deadline_in_a_batch_ends_its_caller_alone(gateway: Gateway, held: Held) -> None:
    async with face_of("asyncio", gateway.addresses.grpc) as face:
        first = await one_under_way(face, held)
        short, patient = (
            face.begin(user(number), features=FEATURES, timeout_s=timeout_s) for number, timeout_s in ((1, 1), (2, 19))
        )
        await until(lambda: face.waiting() == 2)
        first.cancel()
        await until(lambda: face.waiting() == 0)
        with pytest.raises(DeadlineExceeded):
            await short
        assert not patient.done()
        held.gate.set()
        assert (await patient)["months_active"] == 2


async def test_calls_with_different_credentials_never_share_a_request(kind: str, held: Held, gateway: Gateway) -> None:
    tokens = iter(["first", "second", "third", "second"])
    async with face_of(kind, gateway.addresses.grpc, authorization=lambda: next(tokens)) as face:
        calls = []
        for number in range(4):
            calls.append(face.begin(user(number), features=FEATURES))
            await until(lambda: face.waiting() == max(0, len(calls) - 3))
        held.gate.set()
        answers = await asyncio.gather(*calls)
    assert [answer["months_active"] for answer in answers] == [0, 1, 2, 3]
    assert set(held.headers) == {"first", "second", "third"}


async def test_a_gateway_that_takes_smaller_batches_gets_smaller_batches(
    kind: str, settings: Settings, held: Held
) -> None:
    async with serving(replace(settings, max_batch_users=3)) as gateway:
        await health_becomes(gateway.channel, "SERVING")
        async with face_of(kind, gateway.addresses.grpc) as face:
            first = await one_under_way(face, held)
            others = [face.begin(user(number), features=FEATURES) for number in range(1, 9)]
            await until(lambda: face.waiting() == 8)
            held.gate.set()
            answers = await asyncio.gather(first, *others)
        assert [answer["months_active"] for answer in answers] == list(range(9))
        # One that was refused, then 3, 3 and 2 users.
        assert await _calls(gateway) == {"GetUserFeatures": 1, "BatchGetUserFeatures": 4}


async def test_closing_the_client_ends_the_calls_that_wait(face: Face, held: Held) -> None:
    first = await one_under_way(face, held)
    others = [face.begin(user(number), features=FEATURES) for number in (1, 2)]
    await until(lambda: face.waiting() == 2)
    await face.close()
    ended: list[Any] = await asyncio.gather(first, *others, return_exceptions=True)
    for error in ended:
        assert isinstance(error, FeatureServingError), repr(error)
        assert error.code.name == "CANCELLED"
    assert {str(error) for error in ended[1:]} == {"The client was closed."}
    assert ended[1] is not ended[2]


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
async def test_request_data_are_each_callers_own(kind: str, drivers: Gateway) -> None:
    async with face_of(kind, drivers.addresses.grpc, follow_health=False) as face:
        calls = [
            face.begin("7", feature_service=PACE, **({"request_data": {"minutes": minutes}} if minutes else {}))
            for minutes in [1, 2.5, None, "text", 3] * 3
        ]
        ended: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    shown = [one.reason if isinstance(one, FeatureServingError) else one["pace_out"] for one in ended]
    missing, invalid = "ERROR_REASON_REQUEST_DATA_MISSING", "ERROR_REASON_REQUEST_DATA_INVALID"
    assert shown == [7001.0, 7002.5, missing, invalid, 7003.0] * 3


async def test_a_caller_that_is_cancelled_leaves_and_the_others_are_answered(gateway: Gateway, held: Held) -> None:
    async with face_of("asyncio", gateway.addresses.grpc) as face:
        first = await one_under_way(face, held)
        leaving, staying = (face.begin(user(number), features=FEATURES) for number in (1, 2))
        await until(lambda: face.waiting() == 2)
        leaving.cancel()
        await until(lambda: face.waiting() == 1)
        first.cancel()
        held.arrived.clear()
        await until(lambda: face.waiting() == 0)
        held.gate.set()
        assert (await staying)["months_active"] == 2
        assert (first.cancelled(), leaving.cancelled()) == (True, True)


async def test_serving_info_is_that_of_the_batch(face: Face, held: Held) -> None:
    first = await one_under_way(face, held, include_serving_info=True)
    others = [face.begin(user(number), features=FEATURES, include_serving_info=True) for number in (1, 2)]
    # Of other features, because the gateway would read the three users at once.
    without = face.begin(user(3), features=[*FEATURES, "profile_fv:monthly_fee"])
    await until(lambda: face.waiting() == 2)
    held.gate.set()
    infos = [answer.serving_info for answer in await asyncio.gather(first, *others)]
    assert [info.batch_size for info in infos][1:] == [2, 2]
    assert (await without).serving_info is None


async def test_in_an_outage_each_caller_gets_what_a_call_alone_would_get(
    kind: str, settings: Settings, feature_server: FakeFeatureServer, held: Held
) -> None:
    async def down(_request: web.Request) -> web.Response:
        return web.json_response("Error 111 connecting to 127.0.0.1:6380. Connection refused.", status=500)

    async with (
        serving(replace(settings, stale_if_down_s=60.0)) as gateway,
        face_of(kind, gateway.addresses.grpc) as face,
    ):
        await health_becomes(gateway.channel, "SERVING")
        held.gate.set()
        await face.begin(user(1), features=FEATURES)
        held.gate.clear()
        held.arrived.clear()
        first = await one_under_way(face, held)
        known, unknown = (face.begin(user(number), features=FEATURES) for number in (1, 2))
        await until(lambda: face.waiting() == 2)
        feature_server.answer = down
        held.gate.set()
        assert (await first).stale_age_s is None
        answer = await known
        assert (answer["months_active"], answer.stale_age_s is None) == (1, False)
        with pytest.raises(Unavailable, match="feature server"):
            await unknown
        calls = await _calls(gateway)
    assert calls["BatchGetUserFeatures"] == 1
    # Asked again alone, and as often as gRPC tries an unavailable gateway.
    assert calls["GetUserFeatures"] > 2 + 1
