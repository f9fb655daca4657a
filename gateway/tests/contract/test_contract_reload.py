"""A changed contract comes into service whole, and one that can't be used changes nothing."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from feature_gateway.contract.model import Contract
from feature_gateway.contract.reload import ContractHolder, TryOut, keep_current
from feature_gateway.errors import DeadlineExceededError, GatewayError, UpstreamUnavailableError
from feature_gateway.server import Controls, running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, contract_content, feast_answer, with_hash
from gateway_process import TIMEOUT_S, gateway_process
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")


def _put(path: Path, edit: Callable[[dict[str, Any]], None]) -> str:
    """Replace a contract's file in one step; return the new contract's hash."""
    content = contract_content()
    edit(content)
    hashed = with_hash(content)
    _put_text(path, json.dumps(hashed))
    return str(hashed["hash"])


def _put_text(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def _one_feature_less(content: dict[str, Any]) -> None:
    content["feature_services"][0]["features"].pop()


def _no_default_service(content: dict[str, Any]) -> None:
    content["feature_services"].pop(0)


def _one_feature_more(content: dict[str, Any]) -> None:
    content["feature_services"][0]["features"].append(
        {"view": "usage_fv", "as": "usage_fv", "name": "watch_hours", "dtype": "Float64", "max_age_s": 86400.0}
    )


@dataclass
class Servers:
    """What a contract is tried on: all is well, or a failure."""

    failure: Exception | None = None
    tried: list[str] = field(default_factory=list)

    async def try_out(self, contract: Contract) -> None:
        self.tried.append(contract.hash)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
def holder(contract_path: Path) -> ContractHolder:
    return ContractHolder(contract_path, default_feature_service="churn_v1")


async def test_a_changed_file_comes_into_service_whole(
    holder: ContractHolder, servers: Servers, contract_path: Path
) -> None:
    before = holder.current
    new_hash = _put(contract_path, _one_feature_less)
    await holder.check(servers.try_out)
    assert holder.current.hash == new_hash
    assert [feature.name for feature in holder.current.services["churn_v1"].features] == [
        "months_active",
        "monthly_fee",
        "plan_stream_tv",
    ]
    assert len(before.services["churn_v1"].features) == 4
    assert (holder.accepted, holder.refused) == (1, 0)


async def test_changed_descriptions_are_taken_up_without_a_trial_and_features_merge_as_before(
    holder: ContractHolder, servers: Servers, contract_path: Path
) -> None:
    before = holder.current
    described = {
        "feature_views": {"usage_fv": "Use.", "odd": 1},
        "owners": {"feature_view usage_fv": "team-use"},
        "tags": {"feature_view usage_fv": {"stage": 2}, "entity user": None},
        "newer": ["what a later exporter writes"],
    }
    _put(contract_path, lambda content: content.update(descriptions=described))
    await holder.check(servers.try_out)
    notes = holder.current.notes
    assert notes.description("feature_views", "usage_fv") == "Use."
    assert notes.description("feature_views", "odd") == notes.owner("entity", "user") == ""
    assert notes.owner("feature_view", "usage_fv") == "team-use"
    assert notes.tags("feature_view", "usage_fv") == {"stage": "2"}
    assert notes.tags("entity", "user") == {}
    assert holder.current.services is before.services
    assert (servers.tried, holder.accepted) == ([], 0)


def _damage_unseen(path: Path) -> None:
    """Write as much as before, in place, and set the time back: nothing that a look at the file would show."""
    status = path.stat()
    path.write_text("x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


async def test_a_file_that_has_not_changed_is_not_read(
    holder: ContractHolder, servers: Servers, contract_path: Path
) -> None:
    before = holder.current
    _damage_unseen(contract_path)
    await holder.check(servers.try_out)
    assert holder.current is before
    assert (holder.accepted, holder.refused) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda path: _put_text(path, "{"), "is not JSON", id="half-written"),
        pytest.param(Path.unlink, "can't be read", id="gone"),
        pytest.param(
            lambda path: _put_text(path, path.read_text().replace('"Float64"', '"Float32"')),
            "edited by hand",
            id="edited",
        ),
        pytest.param(
            lambda path: _put(path, _no_default_service),
            "GATEWAY_DEFAULT_FEATURE_SERVICE is 'churn_v1'; the contract has scores_v1",
            id="no default feature service",
        ),
    ],
)
async def test_a_contract_that_cannot_be_used_is_refused_and_logged_once(
    holder: ContractHolder,
    servers: Servers,
    contract_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    change: Callable[[Path], object],
    message: str,
) -> None:
    before = holder.current
    change(contract_path)
    for _ in range(3):
        await holder.check(servers.try_out)
    assert holder.current is before
    assert (holder.accepted, holder.refused) == (0, 1)
    (record,) = caplog.records
    assert message in record.getMessage()
    assert before.hash in record.getMessage()


async def test_a_file_mended_after_a_refusal_is_accepted(
    holder: ContractHolder, servers: Servers, contract_path: Path
) -> None:
    _put_text(contract_path, "{")
    await holder.check(servers.try_out)
    assert holder.file_refused
    new_hash = _put(contract_path, _one_feature_less)
    await holder.check(servers.try_out)
    assert holder.current.hash == new_hash
    assert (holder.accepted, holder.refused) == (1, 1)
    assert not holder.file_refused


async def test_a_file_with_the_contract_in_service_changes_nothing(
    holder: ContractHolder, servers: Servers, contract_path: Path
) -> None:
    before = holder.current
    _put(contract_path, lambda _: None)
    await holder.check(servers.try_out)
    assert holder.current is before
    assert (holder.accepted, holder.refused) == (0, 0)


async def test_a_reload_that_is_asked_for_reads_an_unchanged_file_too(
    holder: ContractHolder, servers: Servers, contract_path: Path
) -> None:
    _put_text(contract_path, "{")
    await holder.check(servers.try_out)
    await holder.reload(servers.try_out)
    assert holder.refused == 2


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            GatewayError(ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, "The feature server does not know it."),
            "The feature server does not know it.",
        ),
        (UpstreamUnavailableError("The feature server is gone."), "The feature server is gone."),
        (DeadlineExceededError("The feature server is late."), "The feature server is late."),
        (ZeroDivisionError("secret"), "The gateway failed on this call; its log has the cause."),
    ],
)
async def test_a_contract_that_the_feature_servers_do_not_answer_by_waits_and_is_told_of_once(
    holder: ContractHolder,
    servers: Servers,
    contract_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    failure: Exception,
    message: str,
) -> None:
    before = holder.current
    new_hash = _put(contract_path, _one_feature_more)
    servers.failure = failure
    for _ in range(3):
        await holder.check(servers.try_out)
    assert holder.current is before
    assert holder.pending
    assert (holder.accepted, holder.refused) == (0, 0)
    assert servers.tried == [new_hash] * 3
    (told,) = [record.getMessage() for record in caplog.records if "contract pending" in record.getMessage()]
    assert new_hash in told
    assert before.hash in told
    assert message in told
    servers.failure = None
    await holder.check(servers.try_out)
    assert holder.current.hash == new_hash
    assert not holder.pending
    assert (holder.accepted, holder.refused) == (1, 0)
    await holder.check(servers.try_out)
    assert len(servers.tried) == 4


async def test_another_reason_to_wait_is_told_too(
    holder: ContractHolder, servers: Servers, contract_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _put(contract_path, _one_feature_more)
    for _ in range(2):
        for failure in (
            UpstreamUnavailableError("gone"),
            GatewayError(ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, "unknown"),
        ):
            servers.failure = failure
            await holder.check(servers.try_out)
    assert [message.partition(" reason=")[2].split()[0] for message in caplog.messages] == ["gone", "unknown"]


@pytest.mark.parametrize(
    ("change", "accepted", "refused"),
    [
        pytest.param(lambda path: _put(path, _one_feature_less), 1, 0, id="another contract"),
        pytest.param(lambda path: _put(path, lambda _: None), 0, 0, id="the contract in service"),
        pytest.param(lambda path: _put_text(path, "{"), 0, 1, id="a broken one"),
    ],
)
async def test_a_contract_that_waits_is_given_up_when_the_file_changes(
    holder: ContractHolder,
    servers: Servers,
    contract_path: Path,
    *,
    change: Callable[[Path], object],
    accepted: int,
    refused: int,
) -> None:
    given_up = _put(contract_path, _one_feature_more)
    servers.failure = GatewayError(ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, "unknown")
    await holder.check(servers.try_out)
    change(contract_path)
    servers.failure = None
    for _ in range(2):
        await holder.check(servers.try_out)
    assert not holder.pending
    assert holder.current.hash != given_up
    assert servers.tried.count(given_up) == 1
    assert (holder.accepted, holder.refused) == (accepted, refused)


async def test_a_reload_that_is_asked_for_tries_a_contract_that_waits(
    holder: ContractHolder, servers: Servers, contract_path: Path
) -> None:
    new_hash = _put(contract_path, _one_feature_more)
    servers.failure = GatewayError(ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, "unknown")
    await holder.reload(servers.try_out)
    assert holder.pending
    servers.failure = None
    await holder.reload(servers.try_out)
    assert holder.current.hash == new_hash
    assert holder.accepted == 1


async def test_the_file_is_looked_at_again_and_again_even_after_a_failure(contract_path: Path) -> None:
    class Failing(ContractHolder):
        looks = 0
        enough = asyncio.Event()

        async def check(self, try_out: TryOut) -> None:
            del try_out
            self.looks += 1
            if self.looks == 3:
                self.enough.set()
            raise RuntimeError("unforeseen")

    holder = Failing(contract_path, default_feature_service="churn_v1")
    task = asyncio.create_task(keep_current(holder, Servers().try_out, asked=asyncio.Event(), interval_s=0.001))
    async with asyncio.timeout(TIMEOUT_S):
        await holder.enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_call_under_way_ends_by_the_contract_that_it_began_with(
    settings: Settings, feature_server: FakeFeatureServer, contract_path: Path
) -> None:
    arrived, answered = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.set()
        await answered.wait()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = slow
    controls = Controls()
    async with (
        asyncio.timeout(TIMEOUT_S),
        running_gateway(settings, controls=controls) as addresses,
        grpc.aio.insecure_channel(addresses.grpc) as channel,
    ):
        stub = UserFeatureServiceStub(channel)
        old_call = asyncio.ensure_future(stub.GetUserFeatures(_REQUEST, timeout=20))
        await arrived.wait()
        new_hash = _put(contract_path, _one_feature_less)
        controls.reload_contract.set()
        probe = GetUserFeaturesRequest(user_id="bad", contract_hash=new_hash)
        while await _code(stub.GetUserFeatures(probe, timeout=20)) is grpc.StatusCode.FAILED_PRECONDITION:
            pass
        answered.set()
        old, new = await old_call, await stub.GetUserFeatures(_REQUEST, timeout=20)
    assert old.contract_hash != new_hash
    assert len(old.user_features.features) == 4
    assert new.contract_hash == new_hash
    assert len(new.user_features.features) == 3


async def test_a_contract_comes_into_service_once_every_feature_server_answers_by_it(
    settings: Settings, feature_server: FakeFeatureServer, contract_path: Path
) -> None:
    knows: set[str] = set()
    tried: asyncio.Queue[str] = asyncio.Queue()

    async def registry(request: web.Request) -> web.Response:
        server, body = request.path.split("/")[1], await request.json()
        if "usage_fv:watch_hours" in body["features"]:
            tried.put_nowait(server)
            if server not in knows:
                return web.Response(status=404, text="Feature view usage_fv does not exist")
        return web.json_response(feast_answer(body))

    feature_server.canary_answer = feature_server.answer = registry
    controls = Controls()
    urls = tuple(f"{feature_server.url}/{server}" for server in ("a", "b"))
    async with (
        asyncio.timeout(TIMEOUT_S),
        running_gateway(replace(settings, feature_server_urls=urls), controls=controls) as addresses,
        grpc.aio.insecure_channel(addresses.grpc) as channel,
        aiohttp.ClientSession() as session,
    ):

        async def pending() -> float:
            async with session.get(f"http://{addresses.http}/metrics") as response:
                text = await response.text()
            return float(text.partition("\ngateway_contract_pending ")[2].split()[0])

        stub = UserFeatureServiceStub(channel)
        new_hash = _put(contract_path, _one_feature_more)
        # Tried by itself, and tried again when asked.
        for known, failing in ((set[str](), "a"), ({"a"}, "b")):
            knows |= known
            controls.reload_contract.set()
            while await tried.get() != failing:
                pass
            assert (await stub.GetUserFeatures(_REQUEST, timeout=20)).contract_hash != new_hash
            while await pending() != 1:
                pass
        knows.add("b")
        while (await stub.GetUserFeatures(_REQUEST, timeout=20)).contract_hash != new_hash:
            pass
        assert await pending() == 0


async def _code(call: grpc.aio.UnaryUnaryCall[Any, Any]) -> grpc.StatusCode:
    return await call.code()


@pytest.mark.parametrize("asked", [True, False], ids=["SIGHUP", "by itself"])
async def test_a_process_takes_up_a_changed_contract(settings: Settings, contract_path: Path, *, asked: bool) -> None:
    async with asyncio.timeout(TIMEOUT_S), gateway_process(settings) as gateway:
        new_hash = _put(contract_path, _one_feature_less)
        if asked:
            gateway.process.send_signal(signal.SIGHUP)
        assert new_hash in await gateway.line_with("contract accepted")
        _put_text(contract_path, "{")
        if asked:
            gateway.process.send_signal(signal.SIGHUP)
        assert new_hash in await gateway.line_with("contract refused")
        async with grpc.aio.insecure_channel(gateway.grpc) as channel:
            reply = await UserFeatureServiceStub(channel).GetUserFeatures(_REQUEST, timeout=20)
        assert reply.contract_hash == new_hash
