"""Any history of several streams at once: a model beside them says what must hold of questions, answers and memory."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any, cast

from feature_gateway.contract.reload import ContractHolder
from feature_gateway.errors import (
    GatewayError,
    RejectedUpstreamError,
    UpstreamUnavailableError,
)
from feature_gateway.grpc_api.untaken import Untaken
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.observer import Observer
from gateway_fakes import written_contract
from google.protobuf.duration_pb2 import Duration
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from own_time import OwnTimeLoop
from stream_callers import STALL_S, Bed, Read, Reader, Stream, value_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import (
    FeatureReferences,
    GetUserFeaturesRequest,
    StreamUserFeaturesRequest,
    StreamUserFeaturesResponse,
)

_MAX_STREAMS = 3
# Room for some four answers of a stream, and six of all.
_MAX_STREAM_BYTES, _MAX_BYTES = 6_000, 9_000
_LARGEST_ANSWER_BYTES = 3_000
_FAILURES: dict[str, type[Exception]] = {
    "unavailable": UpstreamUnavailableError,
    "rejected": RejectedUpstreamError,
    "unforeseen": ZeroDivisionError,
}
# More on demand, such as HISTORIES=20000.
_HISTORIES = int(os.environ.get("HISTORIES", "100"))


class Streams(RuleBasedStateMachine):
    """The streams of a gateway, with what they share."""

    def __init__(self, contract: Path) -> None:
        super().__init__()
        self.streams: list[Stream] = []
        self.count = 0
        self.complaints: list[dict[str, Any]] = []
        self.runner = asyncio.Runner(loop_factory=OwnTimeLoop)
        self.loop = self.runner.get_loop()
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.reader = Reader()
        lookup = Lookup(
            contracts=ContractHolder(contract, default_feature_service="churn_v1"),
            reader=self.reader,
            observer=Observer(),
            default_feature_service="churn_v1",
            user_entity="user",
            default_timeout_s=600.0,
            max_timeout_s=600.0,
            deadline_margin_s=0.0,
            max_user_id_bytes=128,
            max_batch_users=1,
        )
        self.bed = Bed(lookup, Untaken(max_stream_bytes=_MAX_STREAM_BYTES, max_bytes=_MAX_BYTES))

    def turns(self, count: int) -> None:
        async def go_on() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.runner.run(go_on())

    @property
    def live(self) -> list[Read]:
        return [read for read in self.reader.live if not read.done.done()]

    @precondition(lambda self: sum(stream.open for stream in self.streams) < _MAX_STREAMS)
    @rule(turns=st.integers(0, 3))
    def open(self, turns: int) -> None:
        async def begin() -> None:
            self.streams.append(Stream(self.bed))

        self.runner.run(begin())
        self.turns(turns)

    @precondition(lambda self: self.streams)
    @rule(
        which=st.integers(0, 50),
        count=st.integers(1, 3),
        timeout_s=st.sampled_from([0.01, 1.0, 600.0]),
        known=st.booleans(),
        turns=st.integers(0, 6),
    )
    def ask(self, which: int, count: int, timeout_s: float, *, known: bool, turns: int) -> None:
        stream = self.streams[which % len(self.streams)]
        if stream.no_more:
            return
        for _ in range(count):
            self.count += 1
            question = GetUserFeaturesRequest(
                user_id=f"{self.count:04d}-AAAAA" if known else "nobody",
                feature_references=FeatureReferences(references=["profile_fv:net_service"]),
            )
            timeout = Duration()
            timeout.FromNanoseconds(int(timeout_s * 1e9))
            stream.asked.put_nowait(StreamUserFeaturesRequest(request_id=self.count, request=question, timeout=timeout))
        self.turns(turns)

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 50), count=st.integers(1, 4), turns=st.integers(0, 6))
    def take(self, which: int, count: int, turns: int) -> None:
        for _ in range(count):
            self.streams[which % len(self.streams)].may_take.release()
        self.turns(turns)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 50), turns=st.integers(0, 6))
    def answer(self, which: int, turns: int) -> None:
        self.live[which % len(self.live)].done.set_result(None)
        self.turns(turns)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 50), failure=st.sampled_from([*_FAILURES]), turns=st.integers(0, 6))
    def fail(self, which: int, failure: str, turns: int) -> None:
        self.live[which % len(self.live)].done.set_exception(_FAILURES[failure]("failed"))
        self.turns(turns)

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 50), turns=st.integers(0, 6))
    def cancel(self, which: int, turns: int) -> None:
        stream = self.streams[which % len(self.streams)]
        stream.cancelled = stream.task.cancel() or stream.cancelled
        self.turns(turns)

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 50), turns=st.integers(0, 6))
    def ask_no_more(self, which: int, turns: int) -> None:
        stream = self.streams[which % len(self.streams)]
        if not stream.no_more:
            stream.no_more = True
            stream.asked.put_nowait(None)
        self.turns(turns)

    @rule(turns=st.integers(0, 6))
    def end(self, turns: int) -> None:
        self.bed.ending.set()
        self.turns(turns)

    @rule(seconds=st.sampled_from([0.02, 1.5, 2 * STALL_S]))
    def wait(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))
        self.turns(10)
        if seconds > STALL_S:
            # Nothing was taken meanwhile: whoever was offered an answer has been cut off.
            assert not any(stream.open and len(stream.offered) > stream.taken for stream in self.streams)

    @invariant()
    def each_question_has_its_own_answer_and_memory_is_bounded(self) -> None:
        assert self.complaints == []
        for stream in self.streams:
            ids = [answer.request_id for answer in stream.offered]
            assert len(set(ids)) == len(ids)
            for answer in stream.offered:
                _check(answer, stream.read[answer.request_id])
            # One may be on its way to the reader as the end comes; it is not answered then.
            assert stream.read_after_the_end <= 1
        held = sum(stream.open for stream in self.streams)
        assert 0 <= self.bed.untaken.bytes <= _MAX_BYTES + (1 + held) * _LARGEST_ANSWER_BYTES

    def teardown(self) -> None:
        try:
            self.runner.run(self._end())
            self.each_question_has_its_own_answer_and_memory_is_bounded()
            assert self.bed.untaken.bytes == 0
            for stream in self.streams:
                self._check_end(stream)
        finally:
            self.runner.close()

    async def _end(self) -> None:
        for stream in self.streams:
            stream.asked.put_nowait(None)
        for _ in range(1000):
            if not any(stream.open for stream in self.streams):
                break
            for read in self.live:
                read.done.set_result(None)
            for stream in self.streams:
                stream.may_take.release()
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)

    def _check_end(self, stream: Stream) -> None:
        assert stream.task.done()
        if stream.task.cancelled():
            # By its caller, or because the caller took nothing.
            return
        answered = {answer.request_id for answer in stream.offered}
        assert len(stream.read.keys() - answered) <= stream.read_after_the_end
        error = stream.task.exception()
        if error is not None:
            assert isinstance(error, GatewayError)
            assert error.reason == ErrorReason.ERROR_REASON_SHUTTING_DOWN
            assert self.bed.ending.is_set()


def _check(answer: StreamUserFeaturesResponse, user_id: str) -> None:
    if answer.WhichOneof("result") == "error":
        expected = {"INVALID_ARGUMENT", "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"}
        assert user_id != "nobody" or answer.error.reason == ErrorReason.ERROR_REASON_USER_ID_MALFORMED
        assert ErrorReason.Name(answer.error.reason).removeprefix("ERROR_REASON_") in expected | {
            *("USER_ID_MALFORMED", "UPSTREAM_UNAVAILABLE", "REJECTED_UPSTREAM")
        }
        return
    (feature,) = answer.response.user_features.features
    assert answer.response.user_features.user_id == user_id
    assert feature.string_value == value_of(user_id)


def test_any_history_of_streams_keeps_questions_answers_and_memory_in_order(tmp_path: Path) -> None:
    run_state_machine_as_test(
        # Anything that makes a machine will do; its type says a class.
        cast("Any", partial(Streams, written_contract(tmp_path))),
        settings=settings(max_examples=_HISTORIES, stateful_step_count=40, deadline=None),
    )
