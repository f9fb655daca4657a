"""Calls of a gateway that is traced, and the traces that they carry."""

from typing import Any

from aiohttp import web
from gateway_fakes import Gateway, feast_answer
from metric_samples import BOUND_S, USER, samples_once, value
from streamflow.features.v1.user_feature_service_pb2 import (
    GetUserFeaturesRequest,
)

SERVICE = "streamflow.features.v1.UserFeatureService"
GET = f"{SERVICE}/GetUserFeatures"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


async def get(gateway: Gateway, traceparent: str = "", **fields: Any) -> None:
    request = GetUserFeaturesRequest(**{"user_id": USER, **fields})
    metadata = (("traceparent", traceparent),) if traceparent else ()
    await gateway.stub.GetUserFeatures(request, timeout=BOUND_S, metadata=metadata)


def until_it_waits(gateway: Gateway, calls: int) -> Any:
    return samples_once(gateway, lambda samples: value(samples, "gateway_queued_calls") == calls)


async def answered(request: web.Request) -> web.StreamResponse:
    return web.json_response(feast_answer(await request.json()))
