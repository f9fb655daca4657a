"""Who reads metrics reads no features: probes and metrics can have a port of their own."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession
from feature_gateway.errors import StartError
from feature_gateway.server import running_gateway
from feature_gateway.settings import Settings
from tls_files import HOST, Certified

_ADMIN = ("/health", "/ready", "/metrics")
_FEATURES = "/features/3413-BMNZE"


async def _statuses(base_url: str, *, tls: Certified | None = None) -> dict[str, int]:
    found = {}
    async with ClientSession() as session:
        for path in (*_ADMIN, _FEATURES):
            async with session.get(base_url + path, ssl=tls.context() if tls else True) as response:
                found[path] = response.status
    return found


async def test_with_an_admin_port_neither_port_answers_for_the_other(settings: Settings) -> None:
    async with asyncio.timeout(20), running_gateway(replace(settings, admin_port=0)) as addresses:
        features = await _statuses(f"http://{addresses.http}")
        admin = await _statuses(f"http://{addresses.admin}")
    assert features == {**dict.fromkeys(_ADMIN, 404), _FEATURES: 200}
    assert admin[_FEATURES] == 404
    assert {admin["/health"], admin["/metrics"]} == {200}
    assert admin["/ready"] in {200, 503}


async def test_the_admin_port_has_no_tls_so_that_probes_need_no_certificates(
    settings: Settings, tmp_path: Path
) -> None:
    server = Certified(tmp_path / "server")
    settings = replace(server.serves(settings), admin_port=0)
    async with asyncio.timeout(20), running_gateway(settings) as addresses:
        assert (await _statuses(f"http://{addresses.admin}"))["/health"] == 200
        features = await _statuses(f"https://{HOST}:{addresses.http.split(':')[1]}", tls=server)
    assert features[_FEATURES] == 200


async def test_an_admin_port_in_use_is_named_with_its_variable(settings: Settings) -> None:
    async with running_gateway(replace(settings, admin_port=0)) as addresses:
        taken = replace(settings, admin_port=int(addresses.admin.split(":")[1]))
        with pytest.raises(StartError, match="set GATEWAY_ADMIN_PORT to another"):
            async with running_gateway(taken):
                pass
