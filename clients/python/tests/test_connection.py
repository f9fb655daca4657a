"""Where both clients connect to, and what their calls carry: by arguments, variables, or a caller's own channel."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from asked_server import AskedServer
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from streamflow.features.v1.user_feature_service_pb2_grpc import add_UserFeatureServiceServicer_to_server
from streamflow_features import AsyncFeatureClient, FeatureClient, Unavailable

_USER = "3413-BMNZE"
_TIMEOUT_S = 20


Ask = Callable[..., None]


def _ask_sync(*arguments: Any, **options: Any) -> None:
    with FeatureClient(*arguments, **options) as client:
        client.get_user_features(_USER, timeout_s=_TIMEOUT_S)


def _ask_async(*arguments: Any, **options: Any) -> None:
    async def ask() -> None:
        async with AsyncFeatureClient(*arguments, **options) as client:
            await client.get_user_features(_USER, timeout_s=_TIMEOUT_S)

    asyncio.run(ask())


@pytest.fixture(params=[_ask_sync, _ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Makes a client with the arguments, asks for one user, and closes the client."""
    return request.param  # type: ignore[no-any-return]


def test_the_variables_say_where_and_as_whom(
    ask: Ask, asked_server: AskedServer, asked_target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_FEATURES_TARGET", asked_target)
    monkeypatch.setenv("STREAMFLOW_FEATURES_TOKEN", "t1")
    ask()
    assert asked_server.metadata[0]["authorization"] == "Bearer t1"


def test_an_argument_goes_before_its_variable(
    ask: Ask, asked_server: AskedServer, asked_target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_FEATURES_TARGET", "127.0.0.1:1")
    monkeypatch.setenv("STREAMFLOW_FEATURES_TOKEN", "t1")
    ask(asked_target, token="t2")
    ask(asked_target, authorization="Basic x")
    assert [metadata["authorization"] for metadata in asked_server.metadata] == ["Bearer t2", "Basic x"]


def test_a_token_file_is_read_again_when_it_has_changed(
    asked_server: AskedServer, asked_target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("t1\n")
    monkeypatch.setenv("STREAMFLOW_FEATURES_TOKEN_FILE", str(file))
    with FeatureClient(asked_target, timeout_s=_TIMEOUT_S) as client:
        client.get_user_features(_USER)
        # As a kubelet does.
        (tmp_path / "new").write_text("t2\n")
        (tmp_path / "new").replace(file)
        client.get_user_features(_USER)
        file.unlink()
        with pytest.raises(FileNotFoundError, match="token"):
            client.get_user_features(_USER)
    assert [metadata["authorization"] for metadata in asked_server.metadata] == ["Bearer t1", "Bearer t2"]


def test_tls_that_is_off_goes_before_variables_of_files(
    ask: Ask, asked_server: AskedServer, asked_target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_FEATURES_CA_FILE", "of-another-server.pem")
    ask(asked_target, tls=False)
    assert len(asked_server.metadata) == 1


def test_calls_carry_the_callers_metadata(ask: Ask, asked_server: AskedServer, asked_target: str) -> None:
    ask(asked_target, metadata=[("x-team", "churn")])
    assert asked_server.metadata[0]["x-team"] == "churn"


def test_options_of_the_channel_replace_the_clients_own(ask: Ask, asked_server: AskedServer, asked_target: str) -> None:
    ask(asked_target, options=[("grpc.primary_user_agent", "scorer/1"), ("grpc.max_receive_message_length", 1 << 20)])
    assert asked_server.metadata[0]["user-agent"].startswith("scorer/1 ")


class _SyncInterceptor(grpc.UnaryUnaryClientInterceptor):
    def __init__(self) -> None:
        self.methods: list[str] = []

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        self.methods.append(client_call_details.method)
        return continuation(client_call_details, request)


class _AsyncInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self) -> None:
        self.methods: list[str] = []

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        self.methods.append(client_call_details.method.decode())
        return await continuation(client_call_details, request)


def test_interceptors_see_calls(asked_target: str) -> None:
    sync_one, async_one = _SyncInterceptor(), _AsyncInterceptor()
    _ask_sync(asked_target, interceptors=[sync_one])
    _ask_async(asked_target, interceptors=[async_one])
    assert sync_one.methods == async_one.methods == ["/streamflow.features.v1.UserFeatureService/GetUserFeatures"]


def test_a_callers_own_channel_is_used_and_stays_open(asked_server: AskedServer, asked_target: str) -> None:
    with grpc.insecure_channel(asked_target) as channel:
        for _ in range(2):
            with FeatureClient(channel=channel, token="t") as client:
                client.get_user_features(_USER, timeout_s=_TIMEOUT_S)
    assert [metadata["authorization"] for metadata in asked_server.metadata] == ["Bearer t", "Bearer t"]


async def test_a_callers_own_channel_of_asyncio_is_used_and_stays_open(asked_target: str) -> None:
    async with grpc.aio.insecure_channel(asked_target) as channel:
        for _ in range(2):
            async with AsyncFeatureClient(channel=channel) as client:
                await client.get_user_features(_USER, timeout_s=_TIMEOUT_S)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"token": "a", "authorization": "b"}, "either token or authorization"),
        ({"cert_file": "c.pem"}, "cert_file and key_file together"),
        ({"tls": False, "ca_file": "c.pem"}, "TLS is off"),
    ],
)
def test_what_can_not_be_combined_is_refused_at_once(ask: Ask, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ask(**arguments)


@pytest.mark.parametrize("arguments", [{"target": "x:1"}, {"tls": True}, {"options": [("a", 1)]}], ids=str)
def test_a_channel_and_how_to_make_one_are_refused(arguments: dict[str, Any]) -> None:
    with grpc.insecure_channel("x:1") as channel, pytest.raises(ValueError, match="either channel or"):
        FeatureClient(channel=channel, **arguments)


@pytest.mark.parametrize(("name", "value"), [("TIMEOUT_S", "soon"), ("TIMEOUT_S", "-1"), ("TLS", "maybe")])
def test_a_variable_that_can_not_be_used_is_named(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"STREAMFLOW_FEATURES_{name}", value)
    with pytest.raises(ValueError, match=f"STREAMFLOW_FEATURES_{name} is '{value}'"):
        ask()


def _with_mutual_tls(asked_server: AskedServer, authority: trustme.CA) -> tuple[grpc.Server, str]:
    certificate = authority.issue_cert("localhost")
    running = grpc.server(ThreadPoolExecutor(2))
    add_UserFeatureServiceServicer_to_server(asked_server, running)
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())],
        root_certificates=authority.cert_pem.bytes(),
        require_client_auth=True,
    )
    port = running.add_secure_port("localhost:0", credentials)
    running.start()
    return running, f"localhost:{port}"


def test_mutual_tls_takes_three_files(
    ask: Ask, asked_server: AskedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("scorer")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    files = {f"{name}_file": tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    running, target = _with_mutual_tls(asked_server, authority)
    try:
        ask(target, **files)
        with pytest.raises(Unavailable):
            ask(target, ca_file=files["ca_file"])
        for name, file in files.items():
            monkeypatch.setenv(f"STREAMFLOW_FEATURES_{name.upper()}", str(file))
        ask(target)
    finally:
        running.stop(None).wait(_TIMEOUT_S)
    assert len(asked_server.requests) == 2


def _in_a_trace(number: int) -> Any:
    context = SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return trace.use_span(NonRecordingSpan(context))


def test_a_calls_trace_context_is_passed_on(ask: Ask, asked_server: AskedServer, asked_target: str) -> None:
    with _in_a_trace(1):
        ask(asked_target)
    ask(asked_target)
    assert asked_server.metadata[0]["traceparent"] == f"00-{1:032x}-{1:016x}-01"
    assert "traceparent" not in asked_server.metadata[1]
