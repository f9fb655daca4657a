"""What a model service reads, from a real gateway in front of a feature server that answers as a test says."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from aiohttp import ClientSession, web
from feature_gateway.settings import Settings
from gateway_fakes import (
    FakeFeatureServer,
    feast_answer,
    gateway_settings,
    health_becomes,
    running_feature_server,
    serving,
    written_contract,
)
from streamflow_features import FeatureClient, FeatureStatus
from streamflow_offline.audit import online_side
from streamflow_offline.audit.compare import OnlineCell
from streamflow_offline.audit.online_side import Cells, OnlineSide
from streamflow_offline.errors import JobError

_SERVED = ["profile_fv:months_active", "profile_fv:monthly_fee", "profile_fv:plan_stream_tv", "profile_fv:net_service"]
_AT = datetime(2024, 2, 29, tzinfo=UTC)


def _user(number: int) -> str:
    return f"{number:04d}-AAAAA"


_USERS = [_user(number) for number in range(10)]


class Asking:
    """An OnlineSide of a gateway, read from a thread as the job does."""

    def __init__(self, client: FeatureClient, target: str, *, http_url: str, **options: Any) -> None:
        self.http_url = http_url
        asked = {
            "gateway": target,
            "feature_service": "churn_v1",
            "contract_hash": client.list_feature_services()[0].contract_hash,
            "served": _SERVED,
            "compared": _SERVED,
        }
        self._side = OnlineSide(client, **{**asked, **options})

    async def read(self, user_ids: list[str]) -> dict[str, Cells]:
        return await asyncio.to_thread(self._side.read, user_ids)


@pytest.fixture
async def feature_server() -> AsyncIterator[FakeFeatureServer]:
    async with running_feature_server() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, feature_server: FakeFeatureServer) -> Settings:
    return gateway_settings(feature_server, written_contract(tmp_path))


@asynccontextmanager
async def _asking(settings: Settings, *, timeout_s: float = 20, **options: Any) -> AsyncIterator[Asking]:
    async with serving(settings) as gateway:
        await health_becomes(gateway.channel, "SERVING")
        target = gateway.addresses.grpc
        with FeatureClient(target, timeout_s=timeout_s) as client:
            yield await asyncio.to_thread(Asking, client, target, http_url=gateway.http_url, **options)


def _planted(feature_server: FakeFeatureServer, values: dict[tuple[str, str], Any]) -> None:
    """Have the feature server answer with some other values, by user and feature."""

    async def answer(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        content = feast_answer(body)
        for name, result in zip(content["metadata"]["feature_names"], content["results"], strict=True):
            for place, user_id in enumerate(body["entities"]["user_id"]):
                if (user_id, name) in values:
                    result["values"][place] = values[user_id, name]
        return web.json_response(content)

    feature_server.answer = answer


async def test_cells_are_the_services_features_in_the_order_compared(settings: Settings) -> None:
    async with _asking(settings, compared=[_SERVED[3], _SERVED[2], _SERVED[0]]) as asking:
        cells = await asking.read([_user(1)])
    assert cells == {
        _user(1): (
            OnlineCell(value="DSL", event_timestamp=_AT, status=FeatureStatus.PRESENT),
            OnlineCell(event_timestamp=_AT, status=FeatureStatus.NULL_VALUE),
            OnlineCell(value=1, event_timestamp=_AT, status=FeatureStatus.PRESENT),
        )
    }


async def test_a_value_beyond_its_maximum_age_is_left_out(settings: Settings) -> None:
    scores = ["profile_fv:score", "usage_fv:score"]
    async with _asking(settings, feature_service="scores_v1", served=scores, compared=scores) as asking:
        cells = await asking.read([_user(1)])
    assert cells[_user(1)] == (
        OnlineCell(value=0.5, event_timestamp=_AT, status=FeatureStatus.PRESENT),
        OnlineCell(event_timestamp=_AT, status=FeatureStatus.OUTSIDE_MAX_AGE),
    )


async def test_only_the_value_of_the_wrong_type_is_unreadable(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    _planted(
        feature_server,
        {(_user(3), "profile_fv__months_active"): "nine", (_user(7), "profile_fv__monthly_fee"): "much"},
    )
    async with _asking(settings) as asking:
        cells = await asking.read(_USERS)
    unreadable = {
        (user_id, reference)
        for user_id, row in cells.items()
        for reference, cell in zip(_SERVED, row, strict=True)
        if cell is None or cell.wrong_type
    }
    assert unreadable == {(_user(3), _SERVED[0]), (_user(7), _SERVED[1])}
    cell = cells[_user(3)][0]
    assert cell is not None
    assert cell.error is not None
    assert "profile_fv:months_active is not Int64 (got str)" in cell.error


async def test_a_feature_is_given_up_when_too_many_values_of_it_are_unreadable(
    settings: Settings, feature_server: FakeFeatureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_side, "MAX_UNREADABLE", 4)
    _planted(feature_server, {(user_id, "profile_fv__months_active"): "nine" for user_id in _USERS})
    async with _asking(settings) as asking:
        first, again = await asking.read(_USERS), await asking.read(_USERS)
    assert first == again
    column = [row[0] for row in first.values()]
    assert [cell is not None and cell.wrong_type for cell in column] == [True] * 4 + [False] * 6
    assert column[4:] == [None] * 6
    assert all(cell is not None and not cell.error for row in first.values() for cell in row[1:])


async def test_more_users_than_the_gateway_takes_are_asked_for_in_parts(settings: Settings) -> None:
    async with _asking(replace(settings, max_batch_users=3)) as asking:
        cells = await asking.read(_USERS)
    assert list(cells) == _USERS
    assert {cell.value for row in cells.values() if (cell := row[0])} == {1}


async def test_an_id_that_the_gateway_refuses_has_its_reason_for_cells(settings: Settings) -> None:
    async with _asking(settings) as asking:
        cells = await asking.read(["nobody's id", _user(1)])
    assert {cell.error for cell in cells["nobody's id"] if cell} == {
        'user_id "nobody\'s id" is not of the form ^[0-9]{4}-[A-Z]{5}$.'
    }
    assert all(cell and not cell.wrong_type for cell in cells["nobody's id"])
    assert all(cell and cell.status for cell in cells[_user(1)])


async def test_another_contract_meanwhile_ends_the_audit(settings: Settings) -> None:
    async with _asking(settings, contract_hash="sha256:other") as asking:
        with pytest.raises(JobError, match=r"FAILED_PRECONDITION: .*another contract meanwhile, so audit again"):
            await asking.read(_USERS)


async def test_features_of_an_earlier_read_are_no_answer(settings: Settings, feature_server: FakeFeatureServer) -> None:
    async def broken(_request: web.Request) -> web.Response:
        return web.json_response("Error connecting to Redis", status=500)

    async with _asking(replace(settings, stale_if_down_s=60.0)) as asking:
        await asking.read(_USERS)
        feature_server.answer = broken
        with pytest.raises(JobError, match="feature servers are down; bring them back"):
            await asking.read(_USERS)


async def test_a_feature_server_that_fails_ends_the_audit(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async def broken(_request: web.Request) -> web.Response:
        return web.json_response("Error connecting to Redis", status=500)

    feature_server.answer = broken
    async with _asking(settings) as asking:
        with pytest.raises(JobError, match=r"UNAVAILABLE: .*name another with --gateway"):
            await asking.read(_USERS)


async def test_a_gateway_that_is_too_slow_ends_the_audit(settings: Settings, feature_server: FakeFeatureServer) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with _asking(settings, timeout_s=0.3) as asking:
        feature_server.answer = never
        with pytest.raises(JobError, match=r"DEADLINE_EXCEEDED: .*give it longer with --timeout-s"):
            await asking.read(_USERS)


async def test_a_busy_gateway_is_asked_again_when_it_says_and_not_for_ever(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def held_up(request: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.json_response(feast_answer(orjson.loads(await request.read())))

    async with _asking(replace(settings, max_queued_calls=0)) as asking:
        feature_server.answer = held_up
        first = asyncio.create_task(asking.read([_user(1)]))
        await asyncio.wait_for(asked.wait(), 20)
        with pytest.raises(JobError, match=r"RESOURCE_EXHAUSTED: .*audit when fewer calls are made"):
            await asking.read([_user(2)])
        async with ClientSession() as session, session.get(f"{asking.http_url}/metrics") as reply:
            refused = re.search(
                r'gateway_calls_total{code="RESOURCE_EXHAUSTED",method="BatchGetUserFeatures"} (.*)', await reply.text()
            )
        go_on.set()
        await first
    assert refused is not None
    assert float(refused[1]) == 5


async def test_what_is_no_gateway_is_told(unused_tcp_port: int) -> None:
    server = grpc.aio.server()
    target = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{unused_tcp_port}')}"
    await server.start()
    try:
        with FeatureClient(target, timeout_s=20, follow_health=False) as client:
            side = OnlineSide(
                client, gateway=target, feature_service="churn_v1", contract_hash="", served=_SERVED, compared=_SERVED
            )
            with pytest.raises(JobError, match=r"UNIMPLEMENTED: .*name a gateway of this API"):
                await asyncio.to_thread(side.read, _USERS)
    finally:
        await server.stop(None)
