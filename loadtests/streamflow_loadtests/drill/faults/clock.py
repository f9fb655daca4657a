"""The wall clock of a gateway jumps.

libfaketime, loaded into the gateway's process alone, answers for the wall clock from a file; the clock that timers go
by is the machine's, as it is when a wall clock is set.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import grpc
from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_OUTSIDE_MAX_AGE
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.bed.data import FEATURE_SERVICE
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.drill.fault import Fault, Scene

_GATEWAY = "gateway-clock"
_JUMP_S = 3600
_LASTS_S = 2.5
# libfaketime looks at its file once a second; every time would cost more than the calls do.
_LOOKS_EVERY_S = 1


@asynccontextmanager
async def _with_a_clock_of_its_own(bed: Bed) -> AsyncIterator[Caller]:
    _set(bed, 0)
    bed.start_gateway(
        _GATEWAY,
        settings={
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(_file(bed)),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": str(_LOOKS_EVERY_S),
        },
    )
    async with bed.ending(_GATEWAY), bed.asking(_GATEWAY) as caller:
        yield caller


@asynccontextmanager
async def _jumps(scene: Scene) -> AsyncIterator[None]:
    bed = scene.bed
    for jump_s in (_JUMP_S, -_JUMP_S, 0):
        _set(bed, jump_s)
        await asyncio.sleep(scene.lasting(_LASTS_S))
        seen_s = await _jump_seen(bed)
        scene.expect(seen_s == jump_s, f"the gateway's clock was to be off by {jump_s} s, and is by {seen_s} s")
    yield


async def _jump_seen(bed: Bed) -> int:
    """Return by how much the gateway's clock is off, of what it can be here, judging by the ages that it sees."""
    request = GetUserFeaturesRequest(user_id=next(iter(bed.dataset.answers)), feature_service=FEATURE_SERVICE)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{bed.servers.port(_GATEWAY)}") as channel:
        stub = UserFeatureServiceStub(channel)
        reply = await stub.GetUserFeatures(request, timeout=1.0)
        age_s = int(time.time()) - reply.user_features.features[0].event_timestamp.seconds
        steps = -1
        for limit_s in (age_s - _JUMP_S // 2, age_s + _JUMP_S // 2):
            request.max_age.FromSeconds(limit_s)
            reply = await stub.GetUserFeatures(request, timeout=1.0)
            steps += reply.user_features.features[0].status == FEATURE_STATUS_OUTSIDE_MAX_AGE
    return steps * _JUMP_S


def _set(bed: Bed, jump_s: int) -> None:
    new = _file(bed).with_suffix(".new")
    new.write_text(f"{jump_s:+d}\n", encoding="utf-8")
    new.replace(_file(bed))


def _file(bed: Bed) -> Path:
    return bed.work / "clock"


def _library() -> Path:
    spec = find_spec("libfaketime")
    assert spec is not None  # noqa: S101  # a dependency
    assert spec.submodule_search_locations is not None  # noqa: S101  # a package
    [folder] = spec.submodule_search_locations
    return Path(folder) / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"


FAULTS = (
    Fault(
        name="the clock jumps",
        stage=_with_a_clock_of_its_own,
        inject=_jumps,
    ),
)
