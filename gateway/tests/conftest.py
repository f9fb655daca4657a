"""A gateway on free ports in front of a feature server that answers as a test tells it to."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import CANARY_USER_ID, FakeFeatureServer, Gateway, contract_content, serving, with_hash


@pytest.fixture
def contract_path(tmp_path: Path) -> Path:
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(with_hash(contract_content())))
    return path


@pytest.fixture
async def feature_server() -> AsyncIterator[FakeFeatureServer]:
    fake = FakeFeatureServer()
    app = web.Application()
    app.router.add_post("/get-online-features", fake.handle)
    # As several servers, told apart by the path.
    app.router.add_post("/{server}/get-online-features", fake.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
def settings(contract_path: Path, feature_server: FakeFeatureServer) -> Settings:
    return Settings(
        grpc_port=0,
        http_port=0,
        contract_path=contract_path,
        feature_server_urls=(feature_server.url,),
        canary_user_id=CANARY_USER_ID,
        drain_pause_s=0.0,
    )


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    async with serving(settings) as running:
        yield running
