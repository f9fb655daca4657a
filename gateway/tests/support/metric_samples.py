"""What `/metrics` of a running gateway says."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import grpc
from gateway_fakes import Gateway
from prometheus_client.parser import text_string_to_metric_families
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest

USER = "3413-BMNZE"
BOUND_S = 60

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def http(gateway: Gateway, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(gateway.http_url + path) as response:
        return response.status, await response.text()


async def metrics_text(gateway: Gateway) -> str:
    status, text = await http(gateway, "/metrics")
    assert status == 200
    return text


def samples_in(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def samples_of(gateway: Gateway) -> Samples:
    return samples_in(await metrics_text(gateway))


async def samples_once(gateway: Gateway, condition: Callable[[Samples], bool]) -> Samples:
    """The samples as soon as they meet a condition."""
    async with asyncio.timeout(BOUND_S):
        while not condition(samples := await samples_of(gateway)):
            pass
        return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    """A sample's value; 0 if there is none."""
    return samples.get((name, frozenset(labels.items())), 0.0)


def by_labels(samples: Samples, metric: str, *names: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by some of its labels, in the order of `names`."""
    return {
        tuple(dict(labels)[name] for name in names): number
        for (sample, labels), number in samples.items()
        if sample == metric
    }


def calls_by_code(samples: Samples) -> dict[tuple[str, ...], float]:
    return by_labels(samples, "gateway_calls_total", "method", "code")


def errors_by_reason(samples: Samples) -> dict[tuple[str, ...], float]:
    return by_labels(samples, "gateway_call_errors_total", "method", "reason")


async def ask(gateway: Gateway, **fields: Any) -> None:
    """GetUserFeatures, however it ends."""
    request = GetUserFeaturesRequest(**{"user_id": USER, **fields})
    try:
        await gateway.stub.GetUserFeatures(request, timeout=BOUND_S)
    except grpc.aio.AioRpcError:
        return
