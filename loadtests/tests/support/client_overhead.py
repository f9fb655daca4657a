"""`python client_overhead.py [HOST:PORT]` prints what the Python client costs over gRPC's own generated stub.

64 threads, and 64 tasks, of one process call for one user each without a pause. By default they call a server of one
constant reply, whose own work is as little as a Python server's can be; a running gateway can be named instead. A bare
stub sends a request and gets the parsed message. A stub with values also reads each value from the message into a
dict, as callers do who want features. The stubs' channels have gRPC's default options. The client does not merge calls,
as only a gateway can answer merged ones: there it is called in its defaults, too. Rounds of all arms are interleaved,
each in an order of its own; ratios are those of a round.
"""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_PRESENT, Feature, UserFeatures
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, GetUserFeaturesResponse
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub
from streamflow_features import AsyncFeatureClient, FeatureClient
from streamflow_local import ports
from streamflow_local.waiting import wait_until

_USER, _SERVICE = "3413-BMNZE", "churn_v1"
_CALLERS = 64
_SECONDS = 0.15
_TIMEOUT_S = 10.0
_BARE = "bare stub"
_MERGING = "client, merging"

Call = Callable[[], Any]
"""Makes a call; its result is awaited in a task."""


def _values(reply: GetUserFeaturesResponse) -> dict[str, Any]:
    values = {}
    for feature in reply.user_features.features:
        field = feature.WhichOneof("value")
        values[feature.name] = None if field is None else getattr(feature, field)
    return values


def _request() -> GetUserFeaturesRequest:
    return GetUserFeaturesRequest(user_id=_USER, feature_service=_SERVICE)


def _thread_arms(target: str, stack: ExitStack) -> dict[str, Call]:
    stub: Any = UserFeatureServiceStub(stack.enter_context(grpc.insecure_channel(target)))
    client = stack.enter_context(FeatureClient(target, timeout_s=_TIMEOUT_S, merge_calls=False))
    merging = stack.enter_context(FeatureClient(target, timeout_s=_TIMEOUT_S))
    return {
        _BARE: lambda: stub.GetUserFeatures(_request(), timeout=_TIMEOUT_S),
        "stub with values": lambda: _values(stub.GetUserFeatures(_request(), timeout=_TIMEOUT_S)),
        "client": lambda: client.get_user_features(_USER, feature_service=_SERVICE),
        _MERGING: lambda: merging.get_user_features(_USER, feature_service=_SERVICE),
    }


def _task_arms(target: str) -> dict[str, Call]:
    stub: Any = UserFeatureServiceStub(grpc.aio.insecure_channel(target))
    client = AsyncFeatureClient(target, timeout_s=_TIMEOUT_S, merge_calls=False)
    merging = AsyncFeatureClient(target, timeout_s=_TIMEOUT_S)

    async def with_values() -> dict[str, Any]:
        return _values(await stub.GetUserFeatures(_request(), timeout=_TIMEOUT_S))

    return {
        _BARE: lambda: stub.GetUserFeatures(_request(), timeout=_TIMEOUT_S),
        "stub with values": with_values,
        "client": lambda: client.get_user_features(_USER, feature_service=_SERVICE),
        _MERGING: lambda: merging.get_user_features(_USER, feature_service=_SERVICE),
    }


def _by_threads(threads: ThreadPoolExecutor, call: Call) -> int:
    ends = time.monotonic() + _SECONDS

    def caller(_number: int) -> int:
        calls = 0
        while time.monotonic() < ends:
            call()
            calls += 1
        return calls

    return sum(threads.map(caller, range(_CALLERS)))


async def _by_tasks(call: Call) -> int:
    ends = time.monotonic() + _SECONDS

    async def caller() -> int:
        calls = 0
        while time.monotonic() < ends:
            await call()
            calls += 1
        return calls

    return sum(await asyncio.gather(*(caller() for _ in range(_CALLERS))))


def _measured(run: Callable[[], int]) -> tuple[float, float]:
    """Return the time and this process's CPU time of a call, in microseconds."""
    began, cpu = time.perf_counter(), time.process_time()
    calls = run()
    return (time.perf_counter() - began) / calls * 1e6, (time.process_time() - cpu) / calls * 1e6


@contextmanager
def _constant_server() -> Iterator[str]:
    stamp = Timestamp(seconds=1_709_164_800)
    features = [
        Feature(name="months_active", int64_value=9),
        Feature(name="monthly_fee", double_value=76.05),
        *(Feature(name=f"plan_{number}", bool_value=True) for number in range(3)),
        Feature(name="net_service", string_value="Fiber optic"),
        *(Feature(name=f"feature_of_some_length_{number}", double_value=number / 7) for number in range(8)),
    ]
    for feature in features:
        feature.status = FEATURE_STATUS_PRESENT
        feature.event_timestamp.CopyFrom(stamp)
    user = UserFeatures(user_id=_USER, user_known=True, features=features)
    reply = GetUserFeaturesResponse(user_features=user, contract_hash="sha256:" + "0" * 64)
    port = ports.free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "reply.bin")
        file.write_bytes(reply.SerializeToString())
        command = [sys.executable, "-m", "streamflow_loadtests.bench.echo", str(port), str(file)]
        with subprocess.Popen(command) as process:
            try:
                wait_until(
                    lambda: grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{port}")).result(5),
                    failing=grpc.FutureTimeoutError,
                    timeout_s=30,
                    complaint=lambda: "the server of one reply does not answer",
                )
                yield f"127.0.0.1:{port}"
            finally:
                process.terminate()


def main() -> None:
    """Print a line for each arm: medians of the rounds, and the ratios to the bare stub with their quartiles."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("target", nargs="?", help="a running gateway, HOST:PORT")
    # Many short rounds, because a machine's speed changes from one second to the next.
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        target = arguments.target or stack.enter_context(_constant_server())
        threads = stack.enter_context(ThreadPoolExecutor(_CALLERS))
        loop = stack.enter_context(asyncio.Runner())
        by_threads = {
            ("threads", name): partial(_by_threads, threads, call) for name, call in _thread_arms(target, stack).items()
        }

        async def made() -> dict[str, Call]:
            return _task_arms(target)

        by_tasks = {
            ("tasks", name): (lambda call=call: loop.run(_by_tasks(call))) for name, call in loop.run(made()).items()
        }
        arms = {arm: run for arm, run in (by_threads | by_tasks).items() if arguments.target or arm[1] != _MERGING}
        rounds: list[dict[tuple[str, str], tuple[float, float]]] = []
        for _ in range(arguments.rounds):
            found = {arm: _measured(arms[arm]) for arm in random.sample(list(arms), len(arms))}
            rounds.append(found)
    sys.stdout.write("callers  arm                 us/call  ratio                 CPU us/call  ratio\n")
    for kind, name in arms:
        columns = []
        for which in (0, 1):
            ratios = [found[kind, name][which] / found[kind, _BARE][which] for found in rounds]
            low, middle, high = quantiles(ratios, n=4)
            spread = f"{middle:.2f} ({low:.2f} to {high:.2f})"
            columns.append(f"{median(found[kind, name][which] for found in rounds):9.0f}  {spread:20}")
        sys.stdout.write(f"{kind:8} {name:16} {'    '.join(columns).rstrip()}\n")


if __name__ == "__main__":
    main()
