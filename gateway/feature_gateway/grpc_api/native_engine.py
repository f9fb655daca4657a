"""A server whose HTTP/2 is not Python's: pygrpc-native's.

It serves unary methods and health's watches, GetUserFeatures without a task for each call. The stream and reflection go
through a server of gRPC's own, on a Unix socket behind it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from feature_gateway.errors import StartError
from feature_gateway.grpc_api.connection_limits import ConnectionLimits
from feature_gateway.grpc_api.grpcio_engine import OWN_OPTIONS, SHARED_OPTIONS

if TYPE_CHECKING:
    from feature_gateway.grpc_api.native_server import NativeServer


def native_server(limits: ConnectionLimits) -> "NativeServer":
    """Return a server without services and ports; raise StartError where the package is not installed."""
    try:
        # An extra. `from pygrpc_native import aio` would recurse without an end, in 0.5.0.
        import_module("pygrpc_native.aio")
        from feature_gateway.grpc_api.native_server import NativeServer  # noqa: PLC0415
    except ImportError as error:
        raise StartError(
            "GATEWAY_GRPC_ENGINE is native, which needs the package pygrpc-native: "
            "install feature-gateway[native], or set it to grpcio"
        ) from error
    options = (*SHARED_OPTIONS, *OWN_OPTIONS, *limits.options())
    # One keeps up with Python's thread, and more of them hand over fewer requests at a time.
    return NativeServer(options=options, io_threads=1)
