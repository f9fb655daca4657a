"""`python traced_caller.py sync|asyncio|alone TARGET`: calls without a pause until standard input ends, traced by OTLP.

`alone` is asyncio, without requests that calls share, and with more callers.

Interceptors print the metadata that they see of each request.
"""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from streamflow_features import AsyncFeatureClient, FeatureClient, FeatureServingError

_USER = "3413-BMNZE"
_CALLERS = 4
_TIMEOUT_S = 30


class _Shown(grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        print(details.method, dict(details.metadata or ()).get("traceparent"), flush=True)  # noqa: T201
        return continuation(details, request)


class _AsyncShown(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        print(details.method.decode(), dict(details.metadata or ()).get("traceparent"), flush=True)  # noqa: T201
        return await continuation(details, request)


def _from_threads(target: str, ended: threading.Event) -> None:
    with (
        FeatureClient(target, timeout_s=_TIMEOUT_S, interceptors=[_Shown()]) as client,
        ThreadPoolExecutor(_CALLERS) as threads,
    ):

        def call(_: int) -> None:
            while not ended.is_set():
                with trace.get_tracer("caller").start_as_current_span("work"):
                    client.get_user_features(_USER)

        list(threads.map(call, range(_CALLERS)))
        with suppress(FeatureServingError):
            client.get_user_features("nobody")


async def _from_tasks(target: str, ended: threading.Event, *, alone: bool) -> None:
    async with AsyncFeatureClient(
        target, timeout_s=_TIMEOUT_S, interceptors=[_AsyncShown()], merge_calls=not alone
    ) as client:

        async def call() -> None:
            while not ended.is_set():
                with trace.get_tracer("caller").start_as_current_span("work"):
                    await client.get_user_features(_USER)

        await asyncio.gather(*(call() for _ in range(4 * _CALLERS if alone else _CALLERS)))
        with suppress(FeatureServingError):
            await client.get_user_features("nobody")


def main() -> None:
    """Call, then send all spans."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    face, target = sys.argv[1:]
    if face == "sync":
        _from_threads(target, ended)
    else:
        asyncio.run(_from_tasks(target, ended, alone=face == "alone"))
    provider.shutdown()


if __name__ == "__main__":
    main()
