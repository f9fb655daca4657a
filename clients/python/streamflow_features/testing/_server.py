"""The gRPC server that tests start."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypedDict, Unpack

import grpc
from streamflow.features.feast.serving.ServingService_pb2_grpc import add_ServingServiceServicer_to_server
from streamflow.features.v1.user_feature_service_pb2_grpc import add_UserFeatureServiceServicer_to_server

from streamflow_features._errors import FeatureServingError
from streamflow_features.testing._contract import Contract, definitions_of
from streamflow_features.testing._faults import Order
from streamflow_features.testing._feast_servicer import FeastServicer
from streamflow_features.testing._served import Served
from streamflow_features.testing._servicer import UserServicer
from streamflow_features.testing._users import ServedUser, Users

# Threads are started as they are needed. A stream, a health watch and a call that waits take one each.
_MAX_THREADS = 256
# Calls that wait end at once. What is left are health watches and streams of clients that are still there. Without a
# grace, gRPC logs the end of each connection.
_GRACE_S = 0.2
_HEALTH_SERVICE = "grpc.health.v1.Health"
# A HealthCheckResponse whose status is SERVING.
_SERVING = b"\x08\x01"


class ServedOptions(TypedDict, total=False):
    """The optional keywords of what a test serves."""

    contract: Contract | None
    """A contract file of version 2, or its content: feature services, types, maximum ages and request data. Without
    it, every feature service has all features, and types are those of the values."""

    contract_hash: str | None
    """The hash of the contract. The default is the contract's own, and a hash of zeros without a contract."""

    default_feature_service: str | None
    """What a call gets that selects nothing. The default is the only feature service that needs a user id alone."""

    user_entity: str
    """The entity whose key a user id is. The default is `user`."""

    max_batch_users: int
    """How many users a batch takes. The default is 1,000."""

    latency_s: float
    """How long each call takes. The default is 0."""


class FeatureServer:
    """A gateway in this process, on a free port of 127.0.0.1, that serves the features that a test gives.

    Any gRPC client can call it. It is a context manager, for sync and async callers; its threads are its own.
    """

    def __init__(self, users: Mapping[str, ServedUser] | None = None, **options: Unpack[ServedOptions]) -> None:
        """Creates a server of some users' features, which `start` or a `with` block starts.

        A user's features are a mapping of names to values, or a `UserFeatures`, whose statuses and event timestamps are
        served too. A name is a feature's own, or a reference, `view:feature`. A user can have an error and no features:
        calls for the user then get the error. A feature that is left out is NULL_VALUE if its view has another one of
        the user, else NOT_FOUND. A user that is not there is unknown. A value can be a function that takes the request
        data as a mapping and returns the value.

        Raises what `Users` raises, ValueError for what is not a contract, and OSError for a file that can't be read.
        """
        definitions = definitions_of(
            options.get("contract"),
            contract_hash=options.get("contract_hash"),
            user_entity=options.get("user_entity", "user"),
            default_service=options.get("default_feature_service"),
        )
        self._served = Served(
            definitions=definitions,
            users=Users(definitions),
            max_batch_users=options.get("max_batch_users", 1000),
            latency_s=options.get("latency_s", 0.0),
        )
        self.users.update(users or {})
        self._server: grpc.Server | None = None
        self._target = ""

    @property
    def users(self) -> Users:
        """The users by id. What is set here is served from the next call on."""
        return self._served.users

    @property
    def latencies_s(self) -> dict[str, float]:
        """How long calls for a user take, by id. A batch takes as long as its slowest user."""
        return self._served.latencies_s

    @property
    def target(self) -> str:
        """Where the server listens, for a client's `target`. Raises RuntimeError if the server was not started."""
        if self._server is None:
            raise RuntimeError("The server is not started; call start, or use it in a with block.")
        return self._target

    def fail_next(self, error: FeatureServingError, *, calls: int = 1) -> None:
        """Have the next calls, or questions of a stream, fail with an error. Clients don't try these calls again.

        A request that several callers share is one call.
        """
        self._served.orders.add(Order(error=error), calls=calls)

    def delay_next(self, latency_s: float, *, calls: int = 1) -> None:
        """Have the next calls, or questions of a stream, take this long."""
        self._served.orders.add(Order(latency_s=latency_s), calls=calls)

    def start(self) -> Self:
        """Start the server, and return it."""
        self._served.ended.clear()
        server = grpc.server(ThreadPoolExecutor(_MAX_THREADS), options=[("grpc.max_receive_message_length", -1)])
        add_UserFeatureServiceServicer_to_server(UserServicer(self._served), server)
        add_ServingServiceServicer_to_server(FeastServicer(self._served), server)
        server.add_generic_rpc_handlers((_health(),))
        self._target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self._server = server
        return self

    def stop(self) -> None:
        """Stop the server. Calls that wait fail with UNAVAILABLE or CANCELLED."""
        self._served.ended.set()
        if self._server is not None:
            self._server.stop(_GRACE_S).wait()

    def __enter__(self) -> Self:
        """Start the server."""
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        """Stop the server."""
        self.stop()


def _health() -> grpc.GenericRpcHandler:
    """Return gRPC's health service, which always says SERVING, without the package that it usually comes from."""

    def watch(_request: bytes, context: Any) -> Iterator[bytes]:
        over = threading.Event()
        context.add_callback(over.set)
        yield _SERVING
        over.wait()

    return grpc.method_handlers_generic_handler(
        _HEALTH_SERVICE,
        {
            "Check": grpc.unary_unary_rpc_method_handler(lambda _request, _context: _SERVING),
            "Watch": grpc.unary_stream_rpc_method_handler(watch),
        },
    )
