"""How unary gRPC calls are made: bare, or by grpc.aio as model services do."""

import asyncio
from typing import Any, Protocol
from urllib.parse import unquote

import grpc

from streamflow_loadtests.callers.http2 import GrpcConnection, Headers, ProtocolError

CALL_TIMEOUT_S = 30.0
"""The deadline of every call of the benchmark; only a server that hangs meets it."""

_OK = b"0"
_NAMES = {str(code.value[0]): code.name for code in grpc.StatusCode}


class CallError(Exception):
    """A call got no reply, or one that can't be read."""


class Channel(Protocol):
    """Connections to one server."""

    async def call(self, path: str, message: bytes) -> bytes:
        """Return the reply's message to a call of a method, "/SERVICE/METHOD". Raises CallError."""

    async def close(self) -> None:
        """Close the connections."""


class GrpcioChannel:
    """grpc.aio on a loopback port."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._methods: dict[str, Any] = {}

    async def call(self, path: str, message: bytes) -> bytes:
        """Return the reply's message."""
        method = self._methods.get(path)
        if method is None:
            # Without serializers gRPC takes bytes and gives bytes.
            method = self._methods[path] = self._channel.unary_unary(path)
        try:
            reply: bytes = await method(message, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise CallError(f"{error.code().name}: {error.details()}") from error
        return reply

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class BareChannel:
    """One HTTP/2 connection for each method on a loopback port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections: dict[str, GrpcConnection] = {}
        self._connecting = asyncio.Lock()

    async def call(self, path: str, message: bytes) -> bytes:
        """Return the reply's message. The server is told of a deadline; that it keeps it is its caller's to see to."""
        try:
            connection = self._connections.get(path)
            if connection is None or not connection.usable:
                connection = await self._connect(path)
            headers, reply = await connection.call(message)
        except (OSError, ProtocolError) as error:
            raise CallError(f"{type(error).__name__}: {error}") from error
        if headers.get(b"grpc-status") != _OK:
            raise CallError(_reason(headers))
        return reply

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()

    async def _connect(self, path: str) -> GrpcConnection:
        async with self._connecting:
            connection = self._connections.get(path)
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
                "grpc-timeout": f"{CALL_TIMEOUT_S * 1000:.0f}m",
            }
            _, connection = await loop.create_connection(
                lambda: GrpcConnection(loop, headers.items()), "127.0.0.1", self._port
            )
            self._connections[path] = connection
            return connection


def _reason(headers: Headers) -> str:
    status = headers.get(b"grpc-status", b"").decode()
    if status not in _NAMES:
        return f"HTTP {headers.get(b':status', b'').decode()} without a gRPC status"
    return f"{_NAMES[status]}: {unquote(headers.get(b'grpc-message', b'').decode())}"
