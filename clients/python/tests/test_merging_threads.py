"""Merged calls of threads: many at once, in the child of a fork, and when a gateway does not answer."""

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc
import pytest
from grpc_servers import served
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    BatchGetUserFeaturesResponse,
    CallError,
    GetUserFeaturesRequest,
    GetUserFeaturesResponse,
    UserResult,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import (
    UserFeatureServiceServicer,
)
from streamflow_features import DeadlineExceeded, FeatureClient, InvalidArgument

_TIMEOUT_S = 20


def _features(user_id: str, context: Any) -> feature_pb2.UserFeatures:
    seen = dict(context.invocation_metadata()).get("authorization", "")
    return feature_pb2.UserFeatures(
        user_id=user_id, features=[feature_pb2.Feature(name="seen", string_value=f"{user_id}/{seen}")]
    )


@dataclass
class Server(UserFeatureServiceServicer):
    """Answers with each user's id and the credentials; `bad` is no user."""

    StreamUserFeatures: ClassVar[Any] = None
    GetFeatureService: ClassVar[Any] = None
    ListFeatureServices: ClassVar[Any] = None

    target: str = ""
    batches: list[int] = field(default_factory=list)
    hang: bool = False
    release: threading.Event = field(default_factory=threading.Event)

    def GetUserFeatures(self, request: GetUserFeaturesRequest, context: Any) -> GetUserFeaturesResponse:  # noqa: N802
        if self.hang:
            self.release.wait(_TIMEOUT_S)
        if request.user_id == "bad":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad")
        return GetUserFeaturesResponse(user_features=_features(request.user_id, context))

    def BatchGetUserFeatures(  # noqa: N802
        self, request: BatchGetUserFeaturesRequest, context: Any
    ) -> BatchGetUserFeaturesResponse:
        self.batches.append(len(request.user_ids))
        bad = CallError(code=3, message="bad")
        return BatchGetUserFeaturesResponse(
            results=[
                UserResult(error=bad) if one == "bad" else UserResult(user_features=_features(one, context))
                for one in request.user_ids
            ]
        )


@pytest.fixture
def server() -> Iterator[Server]:
    servicer = Server()
    with served(servicer) as servicer.target:
        yield servicer
        servicer.release.set()


def test_every_call_of_many_threads_has_its_own_answer(server: Server) -> None:
    token = threading.local()

    def ask(number: int) -> str:
        chance = random.Random(number)  # noqa: S311  # a test's chance, the same each time
        token.value = chance.choice(["p", "q"])
        user_id = chance.choice([f"user-{number}", "same", "bad"])
        timeout_s = chance.choice([0.001, _TIMEOUT_S, _TIMEOUT_S])
        try:
            seen = client.get_user_features(user_id, timeout_s=timeout_s)["seen"]
        except InvalidArgument:
            assert user_id == "bad"
            return "bad"
        except DeadlineExceeded:
            assert timeout_s < 1
            return "late"
        assert seen == f"{user_id}/{token.value}"
        return "answered"

    with (
        FeatureClient(server.target, timeout_s=_TIMEOUT_S, authorization=lambda: str(token.value)) as client,
        ThreadPoolExecutor(32) as threads,
    ):
        outcomes = list(threads.map(ask, range(2000)))
        merger = client._opened().merger
        assert merger is not None
        assert (merger._merger._lanes, merger._sent) == ({}, {})
    assert {"bad", "answered"} <= set(outcomes)
    assert max(server.batches) > 1


def test_a_request_that_is_not_answered_holds_up_the_calls_behind_it_for_a_moment_only(server: Server) -> None:
    with FeatureClient(server.target, timeout_s=_TIMEOUT_S) as client, ThreadPoolExecutor(1) as threads:
        client.get_user_features("first")
        server.hang = True
        stuck = threads.submit(client.get_user_features, "stuck")
        merger = client._opened().merger
        assert merger is not None
        while not merger._merger._lanes:
            threading.Event().wait(0.001)
        assert client.get_user_features("behind", timeout_s=5)["seen"] == "behind/"
        assert not stuck.done()
        server.release.set()
        assert stuck.result(_TIMEOUT_S)["seen"] == "stuck/"


_FORK = """
import asyncio, os, sys
from streamflow_features import AsyncFeatureClient, FeatureClient

client = FeatureClient(sys.argv[1], timeout_s=10, merge_calls=sys.argv[2] == "merge")
client.get_user_features("before")
asynchronous = AsyncFeatureClient(sys.argv[1])
if not (child := os.fork()):
    said = []
    for call in (
        lambda: client.get_user_features("child"),
        lambda: client.list_feature_services(),
        lambda: asyncio.run(asynchronous.get_user_features("child")),
    ):
        try:
            call()
        except RuntimeError as error:
            said.append("create a client in each process" in str(error))
    os._exit(said != [True] * 3)
print(os.waitpid(child, 0)[1], client.get_user_features("after")["seen"])
"""


_UNUSED = """
import os, sys
from streamflow_features import FeatureClient

client = FeatureClient(sys.argv[1], timeout_s=10, merge_calls=sys.argv[2] == "merge")
threads = len(os.listdir("/proc/self/task"))
if not (child := os.fork()):
    os._exit(client.get_user_features("child")["seen"] != "child/")
print(threads, os.waitpid(child, 0)[1], client.get_user_features("parent")["seen"])
"""


@pytest.mark.parametrize("merging", ["merge", "alone"])
def test_a_client_that_has_made_no_call_can_be_used_in_the_children_of_a_fork(server: Server, merging: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _UNUSED, server.target, merging], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.splitlines() == ["1 0 parent/"], done.stdout + done.stderr


@pytest.mark.parametrize("merging", ["merge", "alone"])
def test_a_call_in_the_child_of_a_fork_says_what_to_do_and_the_parent_goes_on(server: Server, merging: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORK, server.target, merging], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.splitlines() == ["0 after/"], done.stdout + done.stderr
