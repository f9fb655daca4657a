"""locust on a gateway that asks for TLS and tokens."""

from pathlib import Path

import pytest
from access_fakes import with_tokens
from aiohttp import web
from gateway_fakes import FakeFeatureServer, gateway_settings, written_contract
from gateway_process import gateway_process
from load_runs import PATIENT, Load, answer, environment_of
from tls_files import Certified


@pytest.mark.slow
async def test_a_gateway_with_tls_and_tokens_is_asked_with_those_of_the_python_clients_variables(
    tmp_path: Path, feature_server: FakeFeatureServer, stored_users: str
) -> None:
    shown: set[str | None] = set()

    async def look(request: web.Request) -> web.StreamResponse:
        shown.add(request.headers.get("authorization"))
        return await answer(request)

    feature_server.answer = look
    certified = Certified(tmp_path / "tls")
    settings = certified.serves(gateway_settings(feature_server, written_contract(tmp_path)))
    token = tmp_path / "token"
    token.write_text("a-token-of-locust\n")
    async with gateway_process(with_tokens(settings, tmp_path, {"locust": "a-token-of-locust"})) as gateway:
        environment = environment_of(gateway, feature_server, stored_users)
        environment["STREAMFLOW_FEATURES_CA_FILE"] = str(certified.ca_file)
        arguments = ("--rate", "30", "--run-time", "2", "--most", "30", *PATIENT)
        with_token = {**environment, "STREAMFLOW_FEATURES_TOKEN_FILE": str(token)}
        ended = await Load(tmp_path, with_token).run(*arguments)
        assert ended.code == 0, ended.text
        assert set(ended.rows) == {"gateway gRPC: 1 user", "gateway HTTP: 1 user", "feast serve: 1 user"}
        assert not any(row["failed"] for row in ended.rows.values())
        assert shown == {None}
        files = [path for path in ended.folder.rglob("*") if path.is_file()]
        assert not [path for path in files if b"a-token-of-locust" in path.read_bytes()]
        refused = await Load(tmp_path, environment).run("--targets", "gateway-grpc")
        assert refused.code == 1
        assert "asks for credentials; `. .local/env` has those of a stack" in refused.text
        malformed = {**environment, "STREAMFLOW_FEATURES_TOKEN": "s3cret\nline"}
        refused = await Load(tmp_path, malformed).run("--targets", "gateway-grpc")
        assert "variables can't be used: the token is empty, or not printable ASCII on one line" in refused.text
        assert "s3cret" not in refused.text
