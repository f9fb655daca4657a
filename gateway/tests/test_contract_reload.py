"""A changed contract comes into service whole, and one that can't be used changes nothing."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from feature_gateway.contract_reload import ContractHolder, keep_current
from feature_gateway.server import Controls, running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, contract_content, feast_answer, with_hash
from gateway_process import TIMEOUT_S, gateway_process
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


def _other_join_key(content: dict[str, Any]) -> None:
    content["entity"]["join_key"] = "customer_id"


def _no_default_service(content: dict[str, Any]) -> None:
    content["feature_services"].pop(0)


@pytest.fixture
def holder(contract_path: Path) -> ContractHolder:
    return ContractHolder(contract_path, default_feature_service="churn_v1")


async def test_a_changed_file_comes_into_service_whole(holder: ContractHolder, contract_path: Path) -> None:
    before = holder.current
    new_hash = _put(contract_path, _one_feature_less)
    await holder.check()
    assert holder.current.hash == new_hash
    assert [feature.name for feature in holder.current.services["churn_v1"].features] == [
        "months_active",
        "monthly_fee",
        "plan_stream_tv",
    ]
    assert len(before.services["churn_v1"].features) == 4
    assert (holder.accepted, holder.refused) == (1, 0)


def _damage_unseen(path: Path) -> None:
    """Write as much as before, in place, and set the time back: nothing that a look at the file would show."""
    status = path.stat()
    path.write_text("x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


async def test_a_file_that_has_not_changed_is_not_read(holder: ContractHolder, contract_path: Path) -> None:
    before = holder.current
    _damage_unseen(contract_path)
    await holder.check()
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
        pytest.param(
            lambda path: _put(path, _other_join_key),
            "the join key 'customer_id' in place of 'user_id'; that needs a restart",
            id="another join key",
        ),
    ],
)
async def test_a_contract_that_cannot_be_used_is_refused_and_logged_once(
    holder: ContractHolder,
    contract_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Path], object],
    message: str,
) -> None:
    before = holder.current
    change(contract_path)
    for _ in range(3):
        await holder.check()
    assert holder.current is before
    assert (holder.accepted, holder.refused) == (0, 1)
    (record,) = caplog.records
    assert message in record.getMessage()
    assert before.hash in record.getMessage()


async def test_a_file_mended_after_a_refusal_is_accepted(holder: ContractHolder, contract_path: Path) -> None:
    _put_text(contract_path, "{")
    await holder.check()
    new_hash = _put(contract_path, _one_feature_less)
    await holder.check()
    assert holder.current.hash == new_hash
    assert (holder.accepted, holder.refused) == (1, 1)


async def test_a_file_with_the_contract_in_service_changes_nothing(holder: ContractHolder, contract_path: Path) -> None:
    before = holder.current
    _put(contract_path, lambda _: None)
    await holder.check()
    assert holder.current is before
    assert (holder.accepted, holder.refused) == (0, 0)


async def test_a_reload_that_is_asked_for_reads_an_unchanged_file_too(
    holder: ContractHolder, contract_path: Path
) -> None:
    _put_text(contract_path, "{")
    await holder.check()
    await holder.reload()
    assert holder.refused == 2


async def test_the_file_is_looked_at_again_and_again_even_after_a_failure(contract_path: Path) -> None:
    class Failing(ContractHolder):
        looks = 0
        enough = asyncio.Event()

        async def check(self) -> None:
            self.looks += 1
            if self.looks == 3:
                self.enough.set()
            raise RuntimeError("unforeseen")

    holder = Failing(contract_path, default_feature_service="churn_v1")
    task = asyncio.create_task(keep_current(holder, asked=asyncio.Event(), interval_s=0.001))
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
