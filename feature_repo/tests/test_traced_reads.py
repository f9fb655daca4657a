"""A feature server sends a span for each read that carries a trace, and none for other requests."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from otlp_receiver import Receiver, otlp_receiver
from rows_server import BOUND_S, NAME_VIEW, USER, Server, repository, serving
from streamflow_repo.tracing import TracingError, provider_of

_TRACE, _PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_SAMPLED, _NOT_SAMPLED = f"00-{_TRACE}-{_PARENT}-01", f"00-{_TRACE}-{_PARENT}-00"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


def _read(server: Server, reference: str, **headers: str) -> int:
    body = msgspec.msgpack.encode([msgspec.msgpack.encode([reference]), {"user_id": ["whose-id"]}])
    return server.ask("POST", "/rows/v1", body, **headers)[0]


@pytest.mark.slow
def test_reads_that_carry_a_trace_have_a_span_and_a_server_that_ends_sends_it(
    redis_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    store = repository(tmp_path, f"{redis_url.removeprefix('redis://')},db=9")
    store.apply([USER, NAME_VIEW])
    with serving(store, tmp_path, **{**receiver.environment, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}) as server:
        assert _read(server, "name_fv:name", traceparent=_SAMPLED) == 200
        assert _read(server, "name_fv:gone", traceparent=_SAMPLED) == 500
        asked = json.dumps({"features": ["name_fv:name"], "entities": {"user_id": ["whose-id"]}}).encode()
        status, _, _ = server.ask(
            "POST", "/get-online-features", asked, "application/json", traceparent=_SAMPLED, tracestate="a=b"
        )
        assert status == 200
        assert _read(server, "name_fv:name", traceparent=_NOT_SAMPLED) == 200
        assert _read(server, "name_fv:name") == 200
        assert server.ask("GET", "/health", traceparent=_SAMPLED)[0] == 200
        assert not receiver.spans
    receiver.wait_for("POST /rows/v1", 2)
    feasts = receiver.one("POST /get-online-features")
    assert [(span.name, span.attributes["http.response.status_code"]) for span in receiver.spans] == [
        ("POST /rows/v1", 200),
        ("POST /rows/v1", 500),
        ("POST /get-online-features", 200),
    ]
    assert [span.failed for span in receiver.spans] == [False, True, False]
    for span in receiver.spans:
        assert (span.service, span.kind, span.trace_id, span.parent_id) == ("feature-server", "server", _TRACE, _PARENT)
        assert b"whose-id" not in span.message.SerializeToString()
    assert feasts.message.trace_state == "a=b"
    table = (Path(__file__).parent.parent / "README.md").read_text().split("**Traces.**")[1].split("\n\n")[0]
    assert all(f"`{name}`" in table for span in receiver.spans for name in span.attributes)


def test_an_exporter_that_can_not_be_used_is_said() -> None:
    with pytest.raises(TracingError, match="by zipkin, which is not installed: install the-extra"):
        provider_of({"OTEL_TRACES_EXPORTER": "zipkin"}, service_name="s", extra="the-extra")


def test_without_an_exporter_nothing_of_opentelemetry_is_imported() -> None:
    program = """
import os, sys
from streamflow_repo.tracing import provider_of
assert provider_of(os.environ, service_name="s", extra="e") is None
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    environment = {"PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=BOUND_S)
