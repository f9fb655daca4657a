"""Gateways are replaced one after the other, as by a rolling update, under clients that do not follow health.

A balancer stands for the Service. It takes the place of preStop too: it learns of the end by the readiness probe.
"""

import http.client
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event

import grpc
import pytest
from process_fixtures import CANARY, wait_until_ready
from processes import Container, Node
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub
from streamflow_local import ports
from streamflow_local.process import ProcessSpec
from streamflow_local.testing import running, wait_for_port

pytestmark = pytest.mark.slow

_CALL_TIMEOUT_S = 30


@dataclass
class Load:
    """Calls without a pause from one client of each kind."""

    answered: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    enough: Event = field(default_factory=Event)

    def run(self, kind: str, call: Callable[[], object]) -> None:
        self.answered[kind] = 0
        while not self.enough.is_set():
            try:
                call()
            except (grpc.RpcError, http.client.HTTPException, OSError) as error:
                self.failures.append(f"{kind}: {error!r}")
            else:
                self.answered[kind] += 1


def test_a_rolling_update_loses_no_call_of_clients_that_do_not_follow_health(materialized: Node) -> None:
    old, new = ([materialized.container("gateway") for _ in range(2)] for _ in range(2))
    with ExitStack() as stack:
        processes = [stack.enter_context(gateway.started()) for gateway in old]
        for gateway in old:
            wait_until_ready(gateway)
        grpc_port, http_port = (
            stack.enter_context(_balanced(port, [*old, *new], materialized)) for port in ("grpc", "http")
        )
        with _calling(grpc_port, http_port) as load:
            for gateway, process, replacement in zip(old, processes, new, strict=True):
                stack.enter_context(replacement.started())
                wait_until_ready(replacement)
                before = dict(load.answered)
                process.terminate()
                assert process.wait(gateway.grace_s) == 0
                assert all(load.answered[kind] > before[kind] for kind in before), load.failures
    assert load.failures == []
    assert load.answered.keys() == {"gRPC", "HTTP"}


@contextmanager
def _balanced(port: str, gateways: Sequence[Container], node: Node) -> Iterator[int]:
    """Yield the port of a balancer over a port of those gateways that are ready."""
    listens = ports.free_port()
    backends = [gateway.address(name).rpartition(":")[2] for gateway in gateways for name in (port, "admin")]
    spec = ProcessSpec(
        name="balancer",
        command=(sys.executable, "-m", "streamflow_loadtests.bed.balancer", str(listens), *backends),
        port=listens,
    )
    log = node.folder / f"balancer-{port}.log"
    with running(spec, log=log):
        wait_for_port(listens, log=log)
        yield listens


@contextmanager
def _calling(grpc_port: int, http_port: int) -> Iterator[Load]:
    """Call by gRPC's default policy, which does not follow health, and over one HTTP connection after the other."""
    load = Load()
    connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=_CALL_TIMEOUT_S)
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel, ThreadPoolExecutor(2) as threads:
        stub = UserFeatureServiceStub(channel)
        request = GetUserFeaturesRequest(user_id=CANARY)

        def ask_http() -> None:
            connection.request("GET", f"/features/{CANARY}?timeout_s={_CALL_TIMEOUT_S}")
            response = connection.getresponse()
            response.read()
            if response.status != http.client.OK:
                raise http.client.HTTPException(response.status)

        calls = (
            threads.submit(load.run, "gRPC", lambda: stub.GetUserFeatures(request, timeout=_CALL_TIMEOUT_S)),
            threads.submit(load.run, "HTTP", ask_http),
        )
        try:
            yield load
        finally:
            load.enough.set()
            for call in calls:
                call.result()
            connection.close()
