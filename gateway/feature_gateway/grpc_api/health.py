"""The standard gRPC health service: SERVING while the gateway is ready."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from feature_gateway.readiness.readiness import Readiness

_Context = grpc.aio.ServicerContext[Any, Any]


class Health(health_pb2_grpc.HealthServicer):
    """The health of the whole server ("") and of its services.

    It replaces grpcio's own servicer, whose watches would delay the shutdown for the whole grace time.
    """

    def __init__(self, readiness: Readiness, services: tuple[str, ...]) -> None:
        """Create the health of services, by their full names, which follows `readiness`."""
        self._readiness = readiness
        self._names = frozenset({"", *services})
        self._changed = asyncio.Event()
        self._ended = False
        self._kept_ready: bool | None = None
        readiness.on_change(self._wake)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the health service with a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    def keep_watches(self) -> None:
        """Have watches go on with the status of now until `release_watches`; checks follow readiness."""
        self._kept_ready = self._readiness.ready

    def release_watches(self) -> None:
        """Have watches follow readiness again."""
        self._kept_ready = None
        self._wake()

    def end_watches(self) -> None:
        """End every watch after it has sent the last status."""
        self._ended = True
        self.release_watches()

    async def Check(  # noqa: N802  # the method's name in the API
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        """Return the status of a service; NOT_FOUND for one that is not served here."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "This server has no such service.")
        return health_pb2.HealthCheckResponse(status=self._status(request.service, ready=self._readiness.ready))

    async def Watch(  # noqa: N802  # the method's name in the API
        self, request: health_pb2.HealthCheckRequest, _context: _Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Return the status of a service now and at every change."""
        told = None
        while True:
            changed = self._changed
            ready = self._readiness.ready if self._kept_ready is None else self._kept_ready
            status = self._status(request.service, ready=ready)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
                continue
            if self._ended:
                return
            await changed.wait()

    def _status(self, service: str, *, ready: bool) -> int:
        if service not in self._names:
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        if ready:
            return health_pb2.HealthCheckResponse.SERVING
        return health_pb2.HealthCheckResponse.NOT_SERVING

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
