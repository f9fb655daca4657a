"""The standard gRPC health service: SERVING from start to shutdown."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio


class Health:
    """The health of the whole server ("") and of the services that it is made for."""

    def __init__(self, services: tuple[str, ...]) -> None:
        """Take the full names of the services; all are NOT_SERVING until `set_serving`."""
        self._names = ("", *services)
        self._servicer = aio.HealthServicer()

    async def add_to(self, server: grpc.aio.Server) -> None:
        """Register the health service with a server."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set_serving(self) -> None:
        """Answer SERVING from now on."""
        await self._set(health_pb2.HealthCheckResponse.SERVING)

    async def set_not_serving(self) -> None:
        """Answer NOT_SERVING from now on, whatever is set later."""
        await self._servicer.enter_graceful_shutdown()

    async def _set(self, status: int) -> None:
        for name in self._names:
            await self._servicer.set(name, status)
