"""A feature server that answers as a test tells it to, and a gateway in front of it."""

import hashlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import orjson
import rows_route_fakes
from aiohttp import web
from feature_gateway.contract.file import load_contract
from feature_gateway.contract.model import Contract
from feature_gateway.server import Addresses, running_gateway
from feature_gateway.settings import Settings
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

if TYPE_CHECKING:
    from feature_gateway.tracing.tracer import Tracing
    from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceAsyncStub

EVENT_TIMESTAMP = "2024-02-29T00:00:00Z"
NEVER_WRITTEN = "1970-01-01T00:00:00Z"
CANARY_USER_ID = "CANARY"
GRPC_ENGINE = os.environ.get("TEST_GRPC_ENGINE", "grpcio")
"""The engine of gateways under test; `make test-slow` runs the gateway's tests again with native."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def contract_content() -> dict[str, Any]:
    """A contract of two views that share a feature's name, one of them with a maximum age."""
    profile = [
        ("months_active", "Int64"),
        ("monthly_fee", "Float64"),
        ("plan_stream_tv", "Bool"),
        ("net_service", "String"),
        ("score", "Float32"),
    ]
    usage = [("watch_hours", "Float64"), ("score", "Float64")]
    views: list[tuple[str, float | None, list[tuple[str, str]]]] = [
        ("profile_fv", None, profile),
        ("usage_fv", 86400.0, usage),
    ]
    return {
        "version": 2,
        "project": "test",
        "entities": [{"name": "user", "join_key": "user_id", "dtype": "String", "pattern": "^[0-9]{4}-[A-Z]{5}$"}],
        "feature_views": [
            {
                "name": view,
                "entities": ["user"],
                "max_age_s": age,
                "features": [{"name": n, "dtype": d} for n, d in features],
            }
            for view, age, features in views
        ],
        "on_demand_feature_views": [],
        "feature_services": [
            service_entry("churn_v1", [("profile_fv", name, dtype, None) for name, dtype in profile[:4]]),
            service_entry(
                "scores_v1",
                [("profile_fv", "score", "Float32", None), ("usage_fv", "score", "Float64", 86400.0)],
            ),
        ],
        "left_out": [],
    }


def service_entry(name: str, features: Sequence[tuple[str, str, str, float | None]], **changes: Any) -> dict[str, Any]:
    """A feature service of a contract: views, names, types and maximum ages; of the entity user unless changed."""
    return {
        "name": name,
        "by_name": False,
        "join_keys": [{"name": "user_id", "entity": "user"}],
        "features": [
            {"view": view, "as": view, "name": feature, "dtype": dtype, "max_age_s": max_age_s}
            for view, feature, dtype, max_age_s in features
        ],
        **changes,
    }


def with_hash(content: dict[str, Any]) -> dict[str, Any]:
    hashed = {name: value for name, value in content.items() if name != "descriptions"}
    canonical = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {**content, "hash": "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()}


VALUES: dict[str, Any] = {
    "profile_fv__months_active": 1,
    "profile_fv__monthly_fee": 29.85,
    "profile_fv__plan_stream_tv": None,
    "profile_fv__net_service": "DSL",
    "profile_fv__score": 0.5,
    "usage_fv__watch_hours": 24.725258074861507,
    "usage_fv__score": 0.25,
}


TYPES = {
    f"{view['name']}:{feature['name']}": feature["dtype"]
    for view in contract_content()["feature_views"]
    for feature in view["features"]
}
"""The types of the features that a fake feature server has rows of, as they are stored."""


def feast_answer(
    body: dict[str, Any], *, values: dict[str, Any] | None = None, stamp: str = EVENT_TIMESTAMP
) -> dict[str, Any]:
    """What `feast serve` answers: columns in an order of its own, everything PRESENT."""
    user_ids = body["entities"]["user_id"]
    columns = [("user_id", user_ids, NEVER_WRITTEN)]
    for reference in sorted(body["features"], reverse=True):
        full = reference.replace(":", "__")
        name = full if body.get("full_feature_names", True) else reference.split(":")[1]
        columns.append((name, [(values or VALUES)[full]] * len(user_ids), stamp))
    return {
        "metadata": {"feature_names": [name for name, _, _ in columns]},
        "results": [
            {"values": column, "statuses": ["PRESENT"] * len(user_ids), "event_timestamps": [at] * len(user_ids)}
            for _, column, at in columns
        ],
    }


@dataclass
class FakeFeatureServer:
    """Answers like `feast serve`, or as a test tells it to, and remembers what it was asked.

    A canary read has a key of its own, so only the tests about canary reads have to consider them.
    """

    url: str = ""
    answer: Answer | None = None
    canary_answer: Answer | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await self._answered(request, orjson.loads(await request.read()))

    async def about_rows(self, _request: web.Request) -> web.Response:
        return web.json_response(rows_route_fakes.ABOUT)

    async def handle_rows(self, request: web.Request) -> web.StreamResponse:
        question = await rows_route_fakes.question_of(request)
        references = question["features"]
        if not TYPES.keys() >= {*references}:
            # As a server without the route.
            return web.json_response({"detail": "Not Found"}, status=404)
        return rows_route_fakes.stored(await self._answered(request, question), references, TYPES)

    async def _answered(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if all(column in ([CANARY_USER_ID], [0]) for column in body["entities"].values()):
            answer = self.canary_answer
        else:
            answer = self.answer
            self.requests.append(body)
        if answer is not None:
            return await answer(request)
        return web.json_response(feast_answer(body))


@asynccontextmanager
async def running_feature_server(
    *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeFeatureServer]:
    fake = FakeFeatureServer()
    app = web.Application()
    app.router.add_post("/get-online-features", fake.handle)
    app.router.add_get("/health", fake.health)
    # As several servers, told apart by the path.
    app.router.add_post("/{server}/get-online-features", fake.handle)
    if rows_route_fakes.ON:
        for path in ("/rows/v1", "/{server}/rows/v1"):
            app.router.add_get(path, fake.about_rows)
            app.router.add_post(path, fake.handle_rows)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=tls).start()
    fake.url = f"{'https' if tls else 'http'}://{host}:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def written_contract(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """Write a contract's content with its hash, by default `contract_content`, and return the file."""
    path = folder / "contract.json"
    path.write_text(json.dumps(with_hash(content or contract_content())))
    return path


def loaded_contract(folder: Path, content: dict[str, Any]) -> Contract:
    """Return the contract of some content, as a gateway loads it."""
    return load_contract(written_contract(folder, content))


def gateway_settings(feature_server: FakeFeatureServer, contract_path: Path) -> Settings:
    """A gateway on free ports in front of a feature server, which ends without a pause."""
    return Settings(
        grpc_engine=GRPC_ENGINE,
        grpc_port=0,
        http_port=0,
        contract_path=contract_path,
        feature_server_urls=(feature_server.url,),
        canary_user_id=CANARY_USER_ID,
        default_feature_service="churn_v1",
        drain_pause_s=0.0,
    )


@dataclass(frozen=True)
class Gateway:
    """A running gateway and a stub that calls it."""

    addresses: Addresses
    stub: "UserFeatureServiceAsyncStub"
    channel: grpc.aio.Channel

    @property
    def http_url(self) -> str:
        return f"http://{self.addresses.http}"


@asynccontextmanager
async def serving(settings: Settings, *, tracing: "Tracing | None" = None) -> AsyncIterator[Gateway]:
    async with (
        running_gateway(settings, tracing=tracing) as addresses,
        grpc.aio.insecure_channel(addresses.grpc) as channel,
    ):
        yield Gateway(addresses, UserFeatureServiceStub(channel), channel)


async def health_of(channel: grpc.aio.Channel, service: str = "") -> str:
    """What the health service says of a service now."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def health_becomes(channel: grpc.aio.Channel, status: str, service: str = "") -> None:
    """Return once the health service says so."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=service))
    async for answer in watch:
        if health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == status:
            watch.cancel()
            return
    raise AssertionError(f"the watch ended before it said {status}")


def error_details(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    """The details of a failed call; BadRequest is empty when no field was at fault."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its annotation forgets grpc.aio
    assert status is not None
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    if len(status.details) > 1:
        assert status.details[1].Unpack(bad_request)
    return info, bad_request
