"""The OpenAPI document says what the HTTP port does: schemathesis finds no request that the port answers otherwise."""

import asyncio
import sys
from pathlib import Path

import pytest
from access_fakes import with_policy, with_tokens
from aiohttp import ClientSession
from feature_gateway.http_api import parameters
from feature_gateway.settings import Settings
from gateway_fakes import Gateway, serving

_CONFIG = Path(__file__).parent.parent / "support" / "schemathesis.toml"
_TIMEOUT_S = 240


async def _find(gateway: Gateway, folder: Path, *options: str) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        process = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).parent / "schemathesis", "--config-file", _CONFIG),
            *("run", f"{gateway.http_url}/openapi.json", *options),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_schemathesis_has_no_findings(gateway: Gateway, tmp_path: Path) -> None:
    await _find(gateway, tmp_path)


@pytest.mark.slow
async def test_schemathesis_has_no_findings_with_request_data_and_many_requests(
    drivers: Gateway, tmp_path: Path
) -> None:
    await _find(drivers, tmp_path, "--max-examples", "500", "--seed", "2")


async def test_every_parameter_is_in_the_document(gateway: Gateway) -> None:
    async with ClientSession() as session, session.get(f"{gateway.http_url}/openapi.json") as response:
        described = await response.json()
    found = [each["name"] for each in described["paths"]["/features/{user_id}"]["get"]["parameters"]]
    assert found == ["user_id", *parameters.PARAMETERS]


async def test_request_data_are_parameters_of_their_types(drivers: Gateway) -> None:
    async with ClientSession() as session, session.get(f"{drivers.http_url}/openapi.json") as response:
        operation = (await response.json())["paths"]["/features/{user_id}"]["get"]
    schemas = {each["name"]: each["schema"] for each in operation["parameters"]}
    assert schemas["user_id"]["type"] == "integer"
    assert schemas["request_data.minutes"] == {"type": "number"}


async def test_a_caller_learns_of_what_it_may_read_alone(settings: Settings, tmp_path: Path) -> None:
    settings = with_policy(
        with_tokens(settings, tmp_path, {"one": "secret"}),
        tmp_path,
        {"token:one": {"feature_services": ["churn_v1"], "feature_views": []}},
    )
    async with serving(settings) as gateway, ClientSession() as session:
        url = f"{gateway.http_url}/openapi.json"
        async with session.get(url) as refused:
            assert refused.status == 401
            assert b"churn_v1" not in await refused.read()
        async with session.get(url, headers={"Authorization": "Bearer secret"}) as response:
            text = await response.text()
    assert "churn_v1" in text
    assert "scores_v1" not in text
    assert "profile_fv" not in text
