"""More calls at once than the event loop can get to: each is answered or rejected."""

import asyncio
import signal
from collections import Counter

import grpc
from feature_gateway.settings import Settings
from gateway_process import TIMEOUT_S, gateway_process
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_CALLS = 4000


async def test_calls_that_pile_up_before_the_event_loop_are_answered_or_refused_and_never_dropped(
    settings: Settings,
) -> None:
    async with (
        asyncio.timeout(2 * TIMEOUT_S),
        gateway_process(settings) as gateway,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
    ):
        await channel.channel_ready()
        gateway.process.send_signal(signal.SIGSTOP)
        calls = [asyncio.ensure_future(_code_of_a_call(channel)) for _ in range(_CALLS)]
        # Each has been sent once its task waits for the answer.
        for _ in range(_CALLS):
            await asyncio.sleep(0)
        gateway.process.send_signal(signal.SIGCONT)
        codes = Counter(await asyncio.gather(*calls))
    assert set(codes) <= {"OK", "RESOURCE_EXHAUSTED"}
    assert codes["OK"] > 0


async def _code_of_a_call(channel: grpc.aio.Channel) -> str:
    try:
        await UserFeatureServiceStub(channel).GetUserFeatures(
            GetUserFeaturesRequest(user_id="3413-BMNZE"), timeout=TIMEOUT_S
        )
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
