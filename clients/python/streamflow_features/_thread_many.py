"""Asks for many users from a thread."""

import queue
import time
from collections.abc import Callable
from functools import partial

import grpc
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, ListFeatureServicesResponse

from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._batch_reply import BatchReply
from streamflow_features._errors import FeatureServingError, closed, from_rpc_error
from streamflow_features._interrupts import uninterrupted
from streamflow_features._learned import MAX_DESCRIPTIONS, Learned
from streamflow_features._many import Chunk, ManyUsers


def answers_of(
    work: ManyUsers, send: "Callable[[BatchGetUserFeaturesRequest], grpc.Future[BatchReply]]"
) -> UserFeaturesBatch:
    """Return the results of many users. Whatever ends the wait, a KeyboardInterrupt too, cancels the requests."""
    ended: queue.SimpleQueue[grpc.Future[BatchReply]] = queue.SimpleQueue()
    under_way: dict[grpc.Future[BatchReply], Chunk] = {}

    def start(chunk: Chunk) -> None:
        call = send(work.request(chunk))
        under_way[call] = chunk
        call.add_done_callback(ended.put)

    try:
        while not work.is_done:
            while (chunk := work.next_chunk(time.monotonic())) is not None:
                uninterrupted(partial(start, chunk))
            try:
                call = ended.get(timeout=work.pause_s(time.monotonic()))
            except queue.Empty:
                continue
            work.ended(under_way.pop(call), _outcome(call), time.monotonic())
    finally:
        for call in under_way:
            call.cancel()
    return work.batch()


def described(
    batch: UserFeaturesBatch,
    request: BatchGetUserFeaturesRequest,
    learned: Learned,
    list_services: Callable[[float], ListFeatureServicesResponse],
    *,
    ends: float,
) -> UserFeaturesBatch:
    """Return the batch with the types of features without a value, which a gateway is asked for until `ends`.

    The types stay unknown when the gateway does not say them: what was answered is not lost for that.
    """
    for _ in range(MAX_DESCRIPTIONS):
        left_s = ends - time.monotonic()
        if left_s <= 0 or not learned.lacks_types(batch):
            break
        try:
            batch = learned.learn(list_services(left_s), batch)
        except FeatureServingError:
            break
    return learned.completed(batch, request)


def _outcome(call: "grpc.Future[BatchReply]") -> BatchReply | FeatureServingError:
    try:
        return call.result()
    except grpc.FutureCancelledError:
        return closed()
    except grpc.RpcError as error:
        return from_rpc_error(error)
