"""What the callers in other languages say of a real gateway's answers."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web
from caller_load import ANSWERED, under_load
from closing_proxy import closing_proxy
from gateway_fakes import NEVER_WRITTEN, FakeFeatureServer, Gateway, feast_answer
from languages import CHECKOUT, Language, run_as_written

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_USER = "3413-BMNZE"
_UNKNOWN = "0000-XXXXX"


async def answer(request: web.Request) -> web.Response:
    """What the stores know of the users: the fee of one, and nothing of the others."""
    body = await request.json()
    reply: dict[str, Any] = feast_answer(body)
    for place, user in enumerate(body["entities"]["user_id"]):
        for name, column in zip(reply["metadata"]["feature_names"][1:], reply["results"][1:], strict=True):
            if user == _UNKNOWN:
                column["values"][place] = None
                column["event_timestamps"][place] = NEVER_WRITTEN
            elif name.endswith("monthly_fee"):
                column["values"][place] = 76.05
    return web.json_response(reply)


@pytest.fixture
def stored(feature_server: FakeFeatureServer) -> None:
    feature_server.answer = answer


async def _say(
    built_caller: Language, gateway: Gateway, *users: str, timeout_s: float = 30
) -> tuple[int, Sequence[str]]:
    """The exit code and the lines of a call for users."""
    process = await asyncio.create_subprocess_exec(
        *built_caller.command(),
        gateway.addresses.grpc,
        *users,
        cwd=CHECKOUT,
        env={**os.environ, "STREAMFLOW_FEATURES_TIMEOUT_S": str(timeout_s)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().splitlines()


@pytest.mark.usefixtures("stored")
async def test_what_the_readme_runs_prints_what_the_readme_says(built_caller: Language, gateway: Gateway) -> None:
    _, command, expected = built_caller.readme()
    command = command.replace("127.0.0.1:50051", gateway.addresses.grpc)
    assert await asyncio.to_thread(run_as_written, f"export STREAMFLOW_FEATURES_TIMEOUT_S=30\n{command}") == expected


@pytest.mark.usefixtures("stored")
async def test_one_user_is_asked_for_by_a_call_of_its_own(built_caller: Language, gateway: Gateway) -> None:
    assert await _say(built_caller, gateway, _USER) == (0, [f"{_USER} monthly_fee 76.05 FEATURE_STATUS_PRESENT"])
    assert await _say(built_caller, gateway, _UNKNOWN) == (0, [f"{_UNKNOWN} monthly_fee NaN FEATURE_STATUS_NOT_FOUND"])


async def test_a_wrong_id_is_an_error_with_its_reason(built_caller: Language, gateway: Gateway) -> None:
    code, (line,) = await _say(built_caller, gateway, "nobody")
    assert code == 1
    assert line.startswith("nobody INVALID_ARGUMENT ERROR_REASON_USER_ID_MALFORMED ")


@pytest.mark.usefixtures("stored")
async def test_a_wrong_id_among_several_is_the_error_of_that_user(built_caller: Language, gateway: Gateway) -> None:
    code, (first, second, third) = await _say(built_caller, gateway, _USER, "nobody", _UNKNOWN)
    assert code == 1
    assert first == f"{_USER} monthly_fee 76.05 FEATURE_STATUS_PRESENT"
    assert second.startswith("nobody INVALID_ARGUMENT ERROR_REASON_USER_ID_MALFORMED ")
    assert third == f"{_UNKNOWN} monthly_fee NaN FEATURE_STATUS_NOT_FOUND"


async def test_several_users_are_one_call_of_the_gateway(
    built_caller: Language, gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    users = [f"{number:04d}-AAAAA" for number in range(20)]
    code, lines = await _say(built_caller, gateway, *users)
    assert (code, [line.split()[0] for line in lines]) == (0, users)
    assert [request["entities"]["user_id"] for request in feature_server.requests] == [users]


async def test_a_call_ends_at_its_deadline(
    built_caller: Language, gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    feature_server.answer = never
    code, (line,) = await _say(built_caller, gateway, _USER, timeout_s=0.5)
    assert code == 1
    assert line.startswith(f"{_USER} DEADLINE_EXCEEDED ")


async def test_connections_that_are_closed_under_load_cost_no_call(built_caller: Language, gateway: Gateway) -> None:
    # grpc-java ends some of these calls UNKNOWN: https://github.com/grpc/grpc-java/issues/10120
    variables = {"STREAMFLOW_FEATURES_TIMEOUT_S": "60"}
    async with closing_proxy(gateway.addresses.grpc) as (proxy, target):
        command = [*built_caller.command(), target]
        async with asyncio.timeout(240), under_load(command, variables, user=_USER) as load:
            for _ in range(100):
                await load.more(50)
                await proxy.close_connections()
    assert set(load.ended) == {ANSWERED}
