"""Asks for many users from a task."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, ListFeatureServicesResponse

from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._batch_reply import BatchReply
from streamflow_features._errors import FeatureServingError
from streamflow_features._learned import MAX_DESCRIPTIONS, Learned
from streamflow_features._many import Chunk, ManyUsers


async def answers_of(
    work: ManyUsers, send: Callable[[BatchGetUserFeaturesRequest], Awaitable[BatchReply]]
) -> UserFeaturesBatch:
    """Return the results of many users. Whatever ends the wait cancels the requests."""
    under_way: dict[asyncio.Future[BatchReply], Chunk] = {}
    try:
        while not work.is_done:
            while (chunk := work.next_chunk(time.monotonic())) is not None:
                under_way[asyncio.ensure_future(send(work.request(chunk)))] = chunk
            pause_s = work.pause_s(time.monotonic())
            if not under_way:
                await asyncio.sleep(pause_s or 0.0)
                continue
            ended, _ = await asyncio.wait(under_way, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            for call in ended:
                work.ended(under_way.pop(call), _outcome(call), time.monotonic())
    finally:
        for call in under_way:
            call.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    return work.batch()


async def described(
    batch: UserFeaturesBatch,
    request: BatchGetUserFeaturesRequest,
    learned: Learned,
    list_services: Callable[[float], Awaitable[ListFeatureServicesResponse]],
    *,
    ends: float,
) -> UserFeaturesBatch:
    """Return the batch with the types of features without a value, as `_thread_many.described` does."""
    for _ in range(MAX_DESCRIPTIONS):
        left_s = ends - time.monotonic()
        if left_s <= 0 or not learned.lacks_types(batch):
            break
        try:
            batch = learned.learn(await list_services(left_s), batch)
        except FeatureServingError:
            break
    return learned.completed(batch, request)


def _outcome(call: "asyncio.Future[BatchReply]") -> BatchReply | FeatureServingError:
    try:
        return call.result()
    except FeatureServingError as error:
        return error
