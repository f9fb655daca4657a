"""`python flood_shares.py` prints what 16 callers with deadlines of 50 ms get of a running gateway beside a flood.

The flood is 64 callers in another process: of one principal, or with a new authorization in each call. The share is
what the 16 callers get beside the flood, divided by what they got alone just before. The bound is half of all calls
that were answered, divided by the same: what two groups get that take equal turns at everything, also at the CPU.
"""

import asyncio
import itertools
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import Any

import grpc
import psutil
import uvloop
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_TARGET = f"127.0.0.1:{os.environ.get('GATEWAY_GRPC_PORT') or 50051}"
_USER = "3413-BMNZE"
_SECONDS = 4.0
_ROUNDS = 5
_BOUND_S = 60
_PARTS = _GATEWAY, _FEATURE_SERVER = "feature-gateway", "streamflow_repo.server"


@dataclass(frozen=True)
class Callers:
    """Callers without a pause between their calls."""

    count: int
    timeout_s: float
    changing: bool = False
    """Whether each call has an authorization of its own."""

    def run(self, principal: str, barrier: Barrier, answered: Any) -> None:
        """Call until the time is over, and put the answered calls and the CPU, both a second, into `answered`."""
        calls = uvloop.run(self._call(principal, barrier))
        answered.put((principal, (calls / _SECONDS, time.process_time() / _SECONDS)))

    async def _call(self, principal: str, barrier: Barrier) -> int:
        request, numbers, done = GetUserFeaturesRequest(user_id=_USER), itertools.count(), itertools.count()
        async with grpc.aio.insecure_channel(_TARGET) as channel:
            stub: Any = UserFeatureServiceStub(channel)
            await stub.GetUserFeatures(request, timeout=_BOUND_S)
            barrier.wait(_BOUND_S)
            end = time.monotonic() + _SECONDS

            async def caller() -> None:
                while time.monotonic() < end:
                    token = f"Bearer {principal}{next(numbers) if self.changing else ''}"
                    try:
                        await stub.GetUserFeatures(
                            request, timeout=self.timeout_s, metadata=(("authorization", token),)
                        )
                    except grpc.aio.AioRpcError:
                        continue
                    next(done)

            await asyncio.gather(*(caller() for _ in range(self.count)))
        return next(done)


_VICTIMS = Callers(16, 0.05)
_FLOODS = {"one principal": Callers(64, 1.0), "a new one in each call": Callers(64, 1.0, changing=True)}


@dataclass(frozen=True)
class _Measured:
    """Rates, all a second; CPU in cores."""

    victims: float
    flood: float
    gateway_cpu: float
    servers_cpu: float
    callers_cpu: float

    @property
    def gateway_ms(self) -> float:
        return self.gateway_cpu / (self.victims + self.flood) * 1000

    def __str__(self) -> str:
        return (
            f"{self.victims:.0f} + {self.flood:.0f} calls/s, gateway {self.gateway_cpu:.2f} cores "
            f"({self.gateway_ms:.2f} ms a call), feature servers {self.servers_cpu:.2f}, callers {self.callers_cpu:.2f}"
        )


def _cpu_s(name: str) -> float:
    """CPU of all processes of a stack whose command has this name, in seconds."""
    found = 0.0
    for process in psutil.process_iter(["cmdline", "cpu_times"]):
        if name in " ".join(process.info["cmdline"] or ()):
            found += process.info["cpu_times"].user + process.info["cpu_times"].system
    return found


def _measured(flood: Callers | None) -> _Measured:
    context = multiprocessing.get_context("spawn")
    queue, barrier = context.Queue(), context.Barrier(1 if flood is None else 2)
    parts = {"victim": _VICTIMS} | ({} if flood is None else {"flood": flood})
    processes = [context.Process(target=each.run, args=(name, barrier, queue)) for name, each in parts.items()]
    before = _cpu_s(_GATEWAY), _cpu_s(_FEATURE_SERVER)
    for process in processes:
        process.start()
    found = dict(queue.get(timeout=_BOUND_S) for _ in processes)
    for process in processes:
        process.join()
    rates = {name: rate for name, (rate, _) in found.items()}
    gateway, servers = ((_cpu_s(name) - was) / _SECONDS for name, was in zip(_PARTS, before, strict=True))
    return _Measured(rates["victim"], rates.get("flood", 0.0), gateway, servers, sum(cpu for _, cpu in found.values()))


def main() -> None:
    """Measure in turns."""
    shares: dict[str, list[float]] = {name: [] for name in _FLOODS}
    bounds: dict[str, list[float]] = {name: [] for name in _FLOODS}
    for _ in range(_ROUNDS):
        for name, flood in _FLOODS.items():
            alone = _measured(None)
            beside = _measured(flood)
            shares[name].append(beside.victims / alone.victims)
            bounds[name].append((beside.victims + beside.flood) / 2 / alone.victims)
            sys.stdout.write(f"alone: {alone}\nbeside {name}: {beside}\n")
    for name, found in shares.items():
        sys.stdout.write(
            f"beside {name}: {median(found):.2f} ({min(found):.2f} to {max(found):.2f}) of alone, "
            f"with equal turns at everything {median(bounds[name]):.2f}\n"
        )


if __name__ == "__main__":
    main()
