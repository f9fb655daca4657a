"""A gRPC server that answers every call with one and the same reply: what no Python gRPC server can surpass."""

import asyncio
import signal
import sys
from pathlib import Path

import grpc
import uvloop
from streamflow.features.v1.user_feature_service_pb2 import DESCRIPTOR, GetUserFeaturesRequest, GetUserFeaturesResponse


async def _serve(port: int, reply: GetUserFeaturesResponse) -> None:
    async def answer(_request: GetUserFeaturesRequest, _context: object) -> GetUserFeaturesResponse:
        return reply

    handler = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=GetUserFeaturesRequest.FromString,
        response_serializer=GetUserFeaturesResponse.SerializeToString,
    )
    service = DESCRIPTOR.services_by_name["UserFeatureService"].full_name
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"GetUserFeatures": handler})])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop(grace=0)


if __name__ == "__main__":
    # The port, and a file with the reply's bytes.
    uvloop.run(_serve(int(sys.argv[1]), GetUserFeaturesResponse.FromString(Path(sys.argv[2]).read_bytes())))
