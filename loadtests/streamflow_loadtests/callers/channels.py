"""How unary gRPC calls are made: bare, or by grpc.aio as model services do."""

import asyncio
from typing import Any
from urllib.parse import unquote

import grpc

from streamflow_loadtests.callers.calls import CALL_TIMEOUT_S, Request
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.http2 import GrpcConnection, Headers, ProtocolError

_OK = b"0"
_NAMES = {str(code.value[0]): code.name for code in grpc.StatusCode}


class GrpcioChannel:
    """grpc.aio on a loopback port."""

    resends = 0

    def __init__(self, port: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._methods: dict[str, Any] = {}

    async def send(self, request: Request, *, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """Return the reply's message. Raises CallError, by default after 30 s."""
        method = self._methods.get(request.path)
        if method is None:
            # Without serializers gRPC takes bytes and gives bytes.
            method = self._methods[request.path] = self._channel.unary_unary(request.path)
        try:
            reply: bytes = await method(request.body, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise CallError(error.code().name, error.details() or "") from error
        return reply

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class BareChannel:
    """One HTTP/2 connection for each method and deadline on a loopback port."""

    resends = 0

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections: dict[tuple[str, float], GrpcConnection] = {}
        self._connecting = asyncio.Lock()

    async def send(self, request: Request, *, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """Return the reply's message. The request carries the deadline; the caller has to keep the deadline itself."""
        try:
            connection = self._connections.get((request.path, timeout_s))
            if connection is None or not connection.usable:
                connection = await self._connect(request.path, timeout_s)
            headers, reply = await connection.call(request.body)
        except (OSError, ProtocolError) as error:
            raise CallError(type(error).__name__, str(error)) from error
        if headers.get(b"grpc-status") != _OK:
            raise _error_of(headers)
        return reply

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()

    async def _connect(self, path: str, timeout_s: float) -> GrpcConnection:
        async with self._connecting:
            connection = self._connections.get((path, timeout_s))
            if connection is not None and connection.usable:
                return connection
            loop = asyncio.get_running_loop()
            headers = {
                ":method": "POST",
                ":scheme": "http",
                ":path": path,
                ":authority": f"127.0.0.1:{self._port}",
                "te": "trailers",
                "content-type": "application/grpc",
                "user-agent": "streamflow-loadtests",
                "grpc-timeout": f"{timeout_s * 1000:.0f}m",
            }
            _, connection = await loop.create_connection(
                lambda: GrpcConnection(loop, headers.items()), "127.0.0.1", self._port
            )
            self._connections[path, timeout_s] = connection
            return connection


def _error_of(headers: Headers) -> CallError:
    status = headers.get(b"grpc-status", b"").decode()
    if status not in _NAMES:
        return CallError(f"HTTP {headers.get(b':status', b'').decode()} without a gRPC status")
    return CallError(_NAMES[status], unquote(headers.get(b"grpc-message", b"").decode()))
