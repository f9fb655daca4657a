"""The FastAPI example, in front of a real gateway."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
import uvicorn
from aiohttp import ClientConnectionError, ClientSession, ClientTimeout, web
from churn_model import ChurnModel
from churn_service import app
from feature_gateway.settings import Settings
from gateway_fakes import NEVER_WRITTEN, FakeFeatureServer, Gateway, feast_answer, health_becomes, serving
from streamflow_local import ports

_BOUND_S = 120
_TRY_S = 25
_USER = "3413-BMNZE"


class Service:
    """The service under test, as its callers have it."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def get(self, path: str) -> tuple[int, Any]:
        async with self._session.get(path) as response:
            return response.status, orjson.loads(await response.read())

    async def headers(self, path: str) -> Any:
        async with self._session.get(path) as response:
            return response.headers


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, model_file: Path) -> None:
    monkeypatch.setenv("CHURN_MODEL", str(model_file))
    # Machines that run tests can be busy.
    monkeypatch.setenv("CHURN_BUDGET_S", "20")


@asynccontextmanager
async def _service(target: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setenv("STREAMFLOW_FEATURES_TARGET", target)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with ClientSession(url, timeout=ClientTimeout(_BOUND_S)) as session:
                yield Service(session)
        finally:
            server.should_exit = True
            await running


@pytest.fixture
async def service(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with _service(gateway.addresses.grpc, monkeypatch) as running:
        yield running


def _answering(feature_server: FakeFeatureServer, *, stamp: str | None = None, **values: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        named = {reference.replace(":", "__"): None for reference in body["features"]}
        given = {f"profile_fv__{name}": value for name, value in values.items()}
        return web.json_response(feast_answer(body, values=named | given, **({"stamp": stamp} if stamp else {})))

    feature_server.answer = answer


async def test_a_user_is_predicted_as_the_model_predicts(
    service: Service, feature_server: FakeFeatureServer, model_file: Path
) -> None:
    values: dict[str, Any] = {"months_active": 3, "monthly_fee": 24.0, "plan_stream_tv": None, "net_service": "DSL"}
    _answering(feature_server, **values)
    status, new = await service.get(f"/churn/{_USER}")
    [expected] = ChurnModel.load(model_file).probabilities(pd.DataFrame([values]))
    assert (status, new["churn_probability"]) == (200, expected)
    assert (new["missing"], new["too_old"], new["stale_age_s"]) == (["plan_stream_tv"], [], None)
    _answering(feature_server, months_active=30, monthly_fee=24.0, plan_stream_tv=True, net_service="DSL")
    _, old = await service.get(f"/churn/{_USER}")
    assert old["churn_probability"] < 0.1
    assert new["churn_probability"] > 0.9


async def test_a_user_without_features_is_not_found(service: Service, feature_server: FakeFeatureServer) -> None:
    _answering(feature_server, stamp=NEVER_WRITTEN)
    status, body = await service.get(f"/churn/{_USER}")
    assert (status, body) == (404, {"detail": f"There are no features of {_USER}."})


async def test_a_malformed_user_id_is_the_callers_fault(service: Service) -> None:
    status, body = await service.get("/churn/nobody")
    assert (status, body["error"], body["reason"]) == (400, "INVALID_ARGUMENT", "USER_ID_MALFORMED")


async def test_features_that_are_late_are_service_unavailable(
    gateway: Gateway, feature_server: FakeFeatureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    feature_server.answer = never
    monkeypatch.delenv("CHURN_BUDGET_S")
    async with _service(gateway.addresses.grpc, monkeypatch) as service:
        status, body = await service.get(f"/churn/{_USER}")
    assert (status, body["error"]) == (503, "DEADLINE_EXCEEDED")


async def test_a_service_without_a_gateway_lives_says_so_and_gets_ready_with_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = ports.free_port()
    async with _service(f"127.0.0.1:{port}", monkeypatch) as service:
        assert await service.get("/health") == (200, None)
        assert (await service.get("/ready"))[0] == 503
        status, body = await service.get(f"/churn/{_USER}")
        assert (status, body["error"], body["reason"]) == (503, "UNAVAILABLE", None)
        assert body["message"]
        assert int((await service.headers(f"/churn/{_USER}"))["Retry-After"]) >= 1
        async with serving(replace(settings, grpc_port=port)) as gateway, asyncio.timeout(_BOUND_S):
            await health_becomes(gateway.channel, "SERVING")
            while (answer := await service.get("/ready"))[0] != 200:
                pass
            assert answer[1]["contract_hash"].startswith("sha256:")
            assert (await service.get(f"/churn/{_USER}"))[0] == 200


async def test_a_gateway_of_another_contract_is_not_used(
    gateway: Gateway, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(ChurnModel.load(model_file), contract_hash="sha256:0").save(tmp_path / "other.joblib")
    monkeypatch.setenv("CHURN_MODEL", str(tmp_path / "other.joblib"))
    async with _service(gateway.addresses.grpc, monkeypatch) as service:
        for path in ("/ready", f"/churn/{_USER}"):
            status, body = await service.get(path)
            assert (status, body["reason"]) == (503, "CONTRACT_MISMATCH"), path


@pytest.mark.slow
async def test_each_worker_that_gunicorn_forks_has_a_client_that_works(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STREAMFLOW_FEATURES_TARGET", gateway.addresses.grpc)
    folders = (Path(__file__).parents[1], Path(__file__).parent / "support")
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, folders)))
    address = f"127.0.0.1:{ports.free_port()}"
    options = ("--preload", "--workers", "2", "--worker-class", "uvicorn_worker.UvicornWorker", "--bind", address)
    # gunicorn ends a worker that does not move for so long, and one is stopped here.
    patience = ("--timeout", str(_BOUND_S))
    log_file = tmp_path / "gunicorn.log"
    with log_file.open("wb") as log:
        gunicorn = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "gunicorn"),
            *options,
            *patience,
            "forked_service:app",
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(_BOUND_S), ClientSession(f"http://{address}") as session:
            answered = await _workers(session)
            async with session.get(f"/early/{_USER}") as response:
                assert await response.text() == "true"
        assert len(answered - {gunicorn.pid}) == 2
    except TimeoutError:
        pytest.fail(log_file.read_text())
    finally:
        gunicorn.terminate()
        await asyncio.wait_for(gunicorn.wait(), _BOUND_S)


async def _workers(session: ClientSession) -> set[int]:
    """Return the pids of two workers that have predicted."""
    first = await _worker(session)
    # The kernel may give every connection to the same worker.
    os.kill(first, signal.SIGSTOP)
    try:
        second = await _worker(session)
    finally:
        os.kill(first, signal.SIGCONT)
    return {first, second}


async def _worker(session: ClientSession) -> int:
    """Return the pid of a worker that has predicted, as soon as one listens."""
    while True:
        try:
            # On a new connection, which any worker can accept; also one that has stopped since.
            async with session.get(
                f"/churn/{_USER}", headers={"Connection": "close"}, timeout=ClientTimeout(_TRY_S)
            ) as response:
                assert response.status == 200, await response.text()
                return int(response.headers["x-pid"])
        except (ClientConnectionError, TimeoutError):
            await asyncio.sleep(0.05)
