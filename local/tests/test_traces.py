"""One trace through client, gateway, merged read and feature server of a running stack; `pytest -s` prints it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import traced_caller
from otlp_receiver import BOUND_S, Received, Receiver, otlp_receiver
from stack_under_test import Stack, stack_environment

pytestmark = pytest.mark.slow

_GET = "streamflow.features.v1.UserFeatureService/GetUserFeatures"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def traced_stack(state_dir: Path, months: Path, receiver: Receiver) -> Iterator[Stack]:
    environment = {**stack_environment(state_dir / "traced"), **receiver.environment, "FEATURE_SERVER_REPLICAS": "1"}
    running = Stack(environment, months)
    with running.up():
        yield running


def test_one_trace_goes_from_the_caller_through_a_merged_read_to_the_feature_server(
    traced_stack: Stack, receiver: Receiver
) -> None:
    address = f"127.0.0.1:{traced_stack.config.gateway_grpc_port}"
    with subprocess.Popen(
        [sys.executable, traced_caller.__file__, "alone", address],
        env={"PATH": os.environ["PATH"], **receiver.environment, "OTEL_SERVICE_NAME": "caller"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as caller:
        try:
            receiver.wait_until(lambda: any(_whole(receiver, read) for read in receiver.named("read")))
            assert caller.stdin is not None
            caller.stdin.close()
            assert caller.wait(BOUND_S) == 0
        finally:
            caller.kill()
    read = next(read for read in receiver.named("read") if _whole(receiver, read))
    print(f"\n{receiver.tree(read.trace_id)}")  # noqa: T201  # for whoever looks
    assert _way(receiver, read) == [
        ("caller", "work"),
        ("caller", _GET),
        ("feature-gateway", _GET),
        ("feature-gateway", "read"),
        ("feature-server", "POST /rows/v1"),
    ]
    calls = {span.span_id: span for span in receiver.named(_GET) if span.service == "feature-gateway"}
    assert all(calls[link].attributes["gateway.coalesced"] for link in read.links)


def _whole(receiver: Receiver, read: Received) -> bool:
    """Whether a read is shared, and all of its trace has arrived."""
    return len(read.links) > 1 and len(_way(receiver, read)) == 5


def _way(receiver: Receiver, read: Received) -> list[tuple[str, str]]:
    spans = [span for span in [*receiver.spans] if span.trace_id == read.trace_id]
    by_id = {span.span_id: span for span in spans}
    below = [span for span in spans if span.parent_id == read.span_id]
    way = [(span.service, span.name) for span in below]
    span: Received | None = read
    while span is not None:
        way.insert(0, (span.service, span.name))
        span = by_id.get(span.parent_id)
    return way


def test_a_job_is_a_trace_of_its_steps_and_of_the_calls_that_it_makes(traced_stack: Stack, receiver: Receiver) -> None:
    traced_stack.offline("apply")
    traced_stack.offline("materialize")
    gateway = f"127.0.0.1:{traced_stack.config.gateway_grpc_port}"
    traced_stack.offline("audit-skew", "--gateway", gateway, "--users", "10")
    found = {}
    for command in ("apply", "materialize", "audit-skew"):
        job = receiver.one(f"offline {command}")
        found[command] = {span.name for span in receiver.spans if span.parent_id == job.span_id}
    assert found["apply"] == {"apply", "export contract"}
    assert found["materialize"] == {"plan", "write", "compare"}
    assert found["audit-skew"] >= {"draw sample", "read offline", "read online"}
    audit = receiver.one("offline audit-skew")
    receiver.wait_until(lambda: "feature-gateway" in _services(receiver, audit.trace_id))
    print(f"\n{receiver.tree(audit.trace_id)}")  # noqa: T201  # the same


def _services(receiver: Receiver, trace_id: str) -> set[str]:
    return {span.service for span in [*receiver.spans] if span.trace_id == trace_id}
