"""gRPC servers with servicers of tests."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from streamflow.features.v1.user_feature_service_pb2_grpc import (
    UserFeatureServiceServicer,
    add_UserFeatureServiceServicer_to_server,
)


@contextmanager
def served(servicer: UserFeatureServiceServicer) -> Iterator[str]:
    """Serve during a block, and yield the target of clients."""
    running = grpc.server(ThreadPoolExecutor(4))
    add_UserFeatureServiceServicer_to_server(servicer, running)
    target = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    running.start()
    yield target
    running.stop(None).wait(10)
