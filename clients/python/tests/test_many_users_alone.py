"""Many users in the midst of a rollout, and a wait that is interrupted: what a real gateway does not do on time."""

import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from both_faces import TIMEOUT_S, asking
from grpc_servers import served
from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_PRESENT, Feature
from streamflow.features.v1.feature_pb2 import UserFeatures as UserFeaturesMessage
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    BatchGetUserFeaturesResponse,
    UserResult,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceServicer
from streamflow_features import FailedPrecondition


class Gateways(UserFeatureServiceServicer):
    """Answers each batch by the next of some contracts, and the first when `wait_for` batches are there at once."""

    # Not called by these tests.
    GetUserFeatures: ClassVar[Any] = None
    StreamUserFeatures: ClassVar[Any] = None
    GetFeatureService: ClassVar[Any] = None
    ListFeatureServices: ClassVar[Any] = None

    def __init__(self, contract: Callable[[int], str], *, wait_for: int = 1) -> None:
        self.batches = self.most_at_once = 0
        self._contract = contract
        self._lock = threading.Lock()
        self._at_once = 0
        self._wait_for = wait_for
        self._seen = threading.Event()

    def BatchGetUserFeatures(  # noqa: N802  # gRPC's name
        self, request: BatchGetUserFeaturesRequest, _context: Any
    ) -> BatchGetUserFeaturesResponse:
        with self._lock:
            contract = self._contract(self.batches)
            self.batches += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            if self._at_once == self._wait_for:
                self._seen.set()
        self._seen.wait(TIMEOUT_S)
        with self._lock:
            self._at_once -= 1
        feature = Feature(name="contract", status=FEATURE_STATUS_PRESENT, string_value=contract)
        results = [
            UserResult(user_id=user_id, user_features=UserFeaturesMessage(user_id=user_id, features=[feature]))
            for user_id in request.user_ids
        ]
        return BatchGetUserFeaturesResponse(results=results, contract_hash=contract)


async def test_users_of_the_contract_before_a_rollout_are_asked_for_again(face: str) -> None:
    gateways = Gateways(lambda batch: "before" if batch < 2 else "after")
    told: list[int] = []
    with served(gateways) as target:
        async with asking(face, target, follow_health=False) as ask:
            ask.client._learned.max_batch_users = 10
            batch = await ask(
                "get_users_features",
                map(str, range(50)),
                max_concurrency=1,
                progress=lambda done, _: told.append(done),
            )
    assert batch.user_ids == tuple(map(str, range(50)))
    assert batch.contract_hash == "after"
    assert {user["contract"] for user in batch} == {"after"}
    assert gateways.batches == 5 + 2
    assert told == [10, 20, 30, 40, 50]


async def test_two_contracts_that_stay_are_a_failed_precondition(face: str) -> None:
    names = itertools.count()
    gateways = Gateways(lambda _: f"contract {next(names)}")
    with served(gateways) as target:
        async with asking(face, target, follow_health=False) as ask:
            ask.client._learned.max_batch_users = 10
            error = await ask.failure("get_users_features", map(str, range(30)), max_concurrency=1)
    assert isinstance(error, FailedPrecondition)
    assert "The gateways answer by different contracts, contract " in str(error)
    assert gateways.batches == 3 + 3 * 2


async def test_as_many_requests_are_made_at_a_time_as_may_be(face: str) -> None:
    gateways = Gateways(lambda _: "one", wait_for=3)
    with served(gateways) as target:
        async with asking(face, target, follow_health=False) as ask:
            ask.client._learned.max_batch_users = 10
            batch = await ask("get_users_features", map(str, range(300)), max_concurrency=3)
    batch.raise_for_errors()
    assert (gateways.batches, gateways.most_at_once) == (30, 3)


async def test_what_progress_raises_is_raised(face: str) -> None:
    def stop(_done: int, _total: int) -> None:
        raise RuntimeError("enough")

    with served(Gateways(lambda _: "one")) as target:
        async with asking(face, target, follow_health=False) as ask:
            with pytest.raises(RuntimeError, match="enough"):
                await ask("get_users_features", map(str, range(5000)), progress=stop)


_INTERRUPTED = """
import signal, sys
import grpc._channel
from streamflow_features import FeatureClient

class InterruptedChannel:
    sends = "sends" in sys.argv

    def __init__(self, channel):
        self._channel = channel

    def __getattr__(self, name):
        return getattr(self._channel, name)

    def integrated_call(self, *arguments):
        call = self._channel.integrated_call(*arguments)
        if InterruptedChannel.sends:
            # gRPC has started the first call, and has not counted it yet.
            InterruptedChannel.sends = False
            print("sends", flush=True)
            signal.raise_signal(signal.SIGINT)
        return call

made = grpc._channel._ChannelCallState.__init__
grpc._channel._ChannelCallState.__init__ = lambda self, channel: made(self, InterruptedChannel(channel))

# A shell's background job starts with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = FeatureClient(sys.argv[1], timeout_s=600, follow_health=False)
print("asks", flush=True)
try:
    client.get_users_features(map(str, range(5000)))
except KeyboardInterrupt:
    print("interrupted", flush=True)
    client.close()
    print("closed")
"""


@pytest.mark.parametrize("when", ["waits", "sends"])
def test_a_keyboard_interrupt_ends_the_call_of_the_sync_client(when: str) -> None:
    arrived, gate = threading.Event(), threading.Event()

    def held(_batch: int) -> str:
        arrived.set()
        gate.wait(TIMEOUT_S)
        return "one"

    with served(Gateways(held)) as target:
        command = [sys.executable, "-c", _INTERRUPTED, target, when]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                if when == "waits":
                    assert arrived.wait(TIMEOUT_S)
                    process.send_signal(signal.SIGINT)
                said, _ = process.communicate(timeout=TIMEOUT_S)
            finally:
                gate.set()
                process.kill()
    assert said.split() == ["asks", *(["sends"] if when == "sends" else []), "interrupted", "closed"]
