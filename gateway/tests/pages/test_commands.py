"""The commands beside a look-up make the same call."""

import asyncio
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from feature_gateway.access.caller import ANYONE
from feature_gateway.contract.model import Contract
from feature_gateway.pages.calls import Look, Place, commands_of
from feature_gateway.pages.choices import Choice
from gateway_fakes import FakeFeatureServer, Gateway, contract_content, loaded_contract
from google.protobuf import json_format
from on_demand import on_demand_content
from page_reader import Page, page_of, read
from request_data_fakes import reads_of
from streamflow.features.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest
from streamflow.features.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest

_TIMEOUT_S = 60
_ALL = {
    "features": "service:all_v1",
    "key.driver_id": "7",
    "data.flag": "true",
    "data.small": "-1",
    "data.big": str(2**60 + 1),
    "data.part": "0.5",
    "data.text": 'it\'s "é" \u202e',
    "data.path": "1.5\n2",
}


def _commands(page: Page) -> dict[str, str]:
    tools = [heading.words for heading in page.main.all("h3")]
    return dict(zip(tools, (pre.text for pre in page.main.all("pre")), strict=True))


async def _grpcurl(command: str, gateway: Gateway) -> None:
    program, plaintext, _, body, address, method = shlex.split(command)
    assert (program, plaintext, address) == ("grpcurl", "-plaintext", gateway.addresses.grpc)
    if method.startswith("feast"):
        request = GetOnlineFeaturesRequest.FromString(await asyncio.to_thread(_parsed_apart, body))
        await ServingServiceStub(gateway.channel).GetOnlineFeatures(request, timeout=_TIMEOUT_S)
    else:
        await gateway.stub.GetUserFeatures(json_format.Parse(body, GetUserFeaturesRequest()), timeout=_TIMEOUT_S)


async def _curl(command: str, _gateway: Gateway) -> None:
    program, silent, url = shlex.split(command)
    assert (program, silent) == ("curl", "-s")
    async with ClientSession() as session, session.get(url) as response:
        assert response.status == 200, await response.text()


async def _python(command: str, _gateway: Gateway) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    assert process.returncode == 0, output.decode()


def _parsed_apart(body: str) -> bytes:
    """Parse a request's JSON in a process of its own: once Feast is imported, protobuf's parser takes Feast's JSON."""
    return subprocess.run(
        [sys.executable, "-c", _PARSE, body], check=True, stdout=subprocess.PIPE, timeout=_TIMEOUT_S
    ).stdout


_PARSE = """
import sys
from google.protobuf import json_format
from streamflow.features.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest
sys.stdout.buffer.write(json_format.Parse(sys.argv[1], GetOnlineFeaturesRequest()).SerializeToString())
"""
_RUN: dict[str, Any] = {"grpcurl": _grpcurl, "curl": _curl, "Python": _python}


@pytest.mark.parametrize("tool", _RUN)
async def test_each_command_reads_the_row_that_the_page_read(
    drivers: Gateway, feature_server: FakeFeatureServer, tool: str
) -> None:
    page = await page_of(drivers, "/pages/look-up", _ALL)
    assert page.status == 200, page.words
    commands = _commands(page)
    assert [*commands] == [*_RUN]
    assert all(command.isascii() for command in commands.values())
    first = reads_of(feature_server)
    feature_server.requests.clear()
    await _RUN[tool](commands[tool], drivers)
    assert reads_of(feature_server) == first
    assert first[0]["text"] == [_ALL["data.text"]]
    assert first[0]["big"] == [2**60 + 1]


async def test_a_feature_view_is_asked_for_by_its_features(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    page = await page_of(gateway, "/pages/look-up", {"features": "view:usage_fv", "key.user_id": "3413-BMNZE"})
    for tool, command in _commands(page).items():
        await _RUN[tool](command, gateway)
    asked = [request["features"] for request in feature_server.requests]
    assert asked == [["usage_fv:watch_hours", "usage_fv:score"]] * 4


@pytest.mark.parametrize("choice", ["service:trips_v1", "view:pace"])
def test_rows_of_other_keys_are_asked_for_by_feasts_api_and_not_over_http(tmp_path: Path, choice: str) -> None:
    commands = _commands_for(loaded_contract(tmp_path, on_demand_content()), choice)
    assert [*commands] == ["grpcurl", "Python"]
    words = shlex.split(commands["grpcurl"])
    request = GetOnlineFeaturesRequest.FromString(_parsed_apart(words[3]))
    assert words[-1] == "feast.serving.ServingService/GetOnlineFeatures"
    assert {name: column.val[0].WhichOneof("val") for name, column in request.entities.items()} == {
        "driver_id": "int64_val",
        "shop_id": "int32_val",
    }
    assert [*request.request_context] == (["minutes"] if choice == "view:pace" else [])
    compile(commands["Python"], "command", "exec")


def test_a_gateway_with_tls_and_tokens_is_called_with_both_read_from_files(tmp_path: Path) -> None:
    secure = Place(grpc="host:1", http="https://host:2", tls=True, token=True)
    commands = _commands_for(loaded_contract(tmp_path, contract_content()), "service:churn_v1", place=secure)
    for tool in ("grpcurl", "curl"):
        assert '"$STREAMFLOW_FEATURES_CA_FILE"' in commands[tool]
        assert '"authorization: Bearer $(cat "$STREAMFLOW_FEATURES_TOKEN_FILE")"' in commands[tool]
    assert "-plaintext" not in commands["grpcurl"]
    assert "# The client reads STREAMFLOW_FEATURES_CA_FILE and STREAMFLOW_FEATURES_TOKEN_FILE." in commands["Python"]


_OPEN = Place(grpc="127.0.0.1:1", http="http://127.0.0.1:2", tls=False, token=False)


def _commands_for(contract: Contract, chosen: str, *, place: Place = _OPEN) -> dict[str, str]:
    choice = Choice.of(chosen)
    feature_set = choice.feature_set(contract, ANYONE)
    values = {column.name: json.loads('"x"' if column.dtype == "String" else "1") for column in feature_set.columns}
    look = Look(
        kind=choice.kind,
        name=choice.name,
        references=choice.references(contract),
        feature_set=feature_set,
        values=values,
        user=contract.entities.get("user"),
    )
    return commands_of(look, place)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("features.example.com", "features.example.com"),
        ("[::1]:80", "[::1]"),
        ("a;b", "localhost"),
        ("x y", "localhost"),
    ],
)
async def test_a_command_calls_the_host_that_the_browser_called_and_nothing_else(
    gateway: Gateway, host: str, name: str
) -> None:
    url = f"{gateway.http_url}/pages/look-up?key.user_id=3413-BMNZE"
    async with ClientSession() as session, session.get(url, headers={"Host": host}) as response:
        assert response.status == 200
        root = read(await response.text())
    (grpcurl, *_) = (pre.text for pre in root.all("pre"))
    assert shlex.split(grpcurl)[-2] == f"{name}:{gateway.addresses.grpc.rpartition(':')[2]}"
