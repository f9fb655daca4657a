"""Changes under load: definitions, values, and contracts that are no good."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psycopg
from feast_contract import contract_hash, contract_text
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_loadtests.bed.bed import GATEWAY, REGISTRY_REFRESH_S, Bed
from streamflow_loadtests.bed.processes import becomes
from streamflow_loadtests.callers.calls import Values
from streamflow_loadtests.drill.fault import Fault, Scene
from streamflow_loadtests.drill.faults import jobs

_SHIFT = 1000
_SHIFTED = "failed_payments_90d"
_CONTRACT_TIMEOUT_S = 5.0
_REGISTRY_TIMEOUT_S = 2.0 * REGISTRY_REFRESH_S + _CONTRACT_TIMEOUT_S


@asynccontextmanager
async def service_added(scene: Scene) -> AsyncIterator[None]:
    """Apply the definitions with a feature service more, which every feature server has to learn of; and without it."""
    bed = scene.bed
    accepted = await bed.metric("gateway_contracts_accepted")
    await jobs.apply_with_a_service_more(bed)
    if await _accepts(bed, accepted + 1):
        scene.expect(await _answers_by(bed, jobs.ADDED_SERVICE), "the added feature service is not answered by")
    else:
        scene.complaints.append(f"the added feature service was not in service after {_REGISTRY_TIMEOUT_S:g} s")
    await jobs.apply(bed)
    scene.expect(await _accepts(bed, accepted + 2), "the contract before is not back in service")
    yield


async def _accepts(bed: Bed, count: float) -> bool:
    async def accepted() -> bool:
        return await bed.metric("gateway_contracts_accepted") >= count

    return await becomes(accepted, timeout_s=_REGISTRY_TIMEOUT_S)


async def _answers_by(bed: Bed, service: str) -> bool:
    request = GetUserFeaturesRequest(user_id=next(iter(bed.dataset.answers)), feature_service=service)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{bed.servers.port(GATEWAY)}") as channel:
        try:
            reply = await UserFeatureServiceStub(channel).GetUserFeatures(request, timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
    return reply.user_features.user_known


@asynccontextmanager
async def _values_changed(scene: Scene) -> AsyncIterator[None]:
    """Correct all values of a feature, and materialize them; then the other way round."""
    for by in (_SHIFT, -_SHIFT):
        load = scene.load
        load.answers_too = _shifted(load.answers, by)
        await asyncio.to_thread(_correct, scene.bed, by)
        await jobs.materialize(scene.bed, "--incremental")
        # What had been read before the last was written has been answered by then.
        await asyncio.sleep(2 * load.timeout_s)
        load.answers, load.answers_too = load.answers_too, None
    yield


def _shifted(answers: Mapping[str, Values], by: int) -> Mapping[str, Values]:
    return {user_id: {**values, _SHIFTED: _plus(values[_SHIFTED], by)} for user_id, values in answers.items()}


def _plus(value: Any, by: int) -> Any:
    return None if value is None else value + by


def _correct(bed: Bed, by: int) -> None:
    with psycopg.connect(bed.postgres_url) as connection:
        connection.execute(
            "UPDATE payments_agg_90d_snapshots"
            " SET failed_payments_90d = failed_payments_90d + %s, ingested_at = clock_timestamp()",
            (by,),
        )


@asynccontextmanager
async def _bad_contracts(scene: Scene) -> AsyncIterator[None]:
    bed = scene.bed
    good = bed.contract.read_text(encoding="utf-8")
    refused = await bed.metric("gateway_contracts_refused")
    accepted = await bed.metric("gateway_contracts_accepted")
    for bad, metric, value in (
        (good[: len(good) // 2], "gateway_contracts_refused", refused + 1),
        (_asking_for_more(good), "gateway_contract_pending", 1),
    ):
        _put(bed, bad)
        scene.expect(await _reaches(bed, metric, value), f"{metric} did not become {value:g}")
        await asyncio.sleep(scene.lasting(1.5))
    _put(bed, good)
    scene.expect(await _reaches(bed, "gateway_contract_pending", 0), "a contract is still pending")
    scene.expect(await bed.metric("gateway_contracts_accepted") == accepted, "a bad contract was accepted")
    yield


def _asking_for_more(text: str) -> str:
    """Return a contract, sound in itself, with a feature that no feature server knows."""
    content = json.loads(text)
    view, service = content["feature_views"][0], content["feature_services"][0]
    feature = {"name": "not_there_yet", "dtype": "Int64"}
    view["features"].append(feature)
    service["features"].append({**feature, "view": view["name"], "as": view["name"], "max_age_s": view["max_age_s"]})
    del content["hash"]
    return contract_text({**content, "hash": contract_hash(content)})


def _put(bed: Bed, text: str) -> None:
    new = bed.contract.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(bed.contract)


async def _reaches(bed: Bed, metric: str, value: float) -> bool:
    async def reached() -> bool:
        return await bed.metric(metric) == value

    return await becomes(reached, timeout_s=_CONTRACT_TIMEOUT_S)


FAULTS = (
    Fault(name="feast apply", inject=service_added),
    Fault(name="materialize", inject=_values_changed),
    Fault(name="bad contracts", inject=_bad_contracts),
)
