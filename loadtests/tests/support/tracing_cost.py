"""`python tracing_cost.py USERS [BEFORE]` prints what traces cost, in calls a second and CPU of the gateway a call.

USERS is a file of user ids, BEFORE a `feature-gateway` of another checkout, one without traces for example. The script
needs a running stack whose `.local/env` has been exported. Gateways in front of its feature servers are asked in turns:
BEFORE, and this checkout's with traces off, with 1 % of the calls sampled, and with all. 64 tasks of one process call
with gRPC's own client, each call for another user, without a pause. A receiver in this process, on RECEIVER_PORT, takes
the spans and does not read them. The feature servers trace too if the stack was started with
OTEL_EXPORTER_OTLP_ENDPOINT. Ratios are those of a round, to the gateway with traces off.
"""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import grpc
import uvloop
from compared_gateways import BIN, BOUND_S, Arm, Call, gateway, measure_in_turns
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest

_ROUNDS = int(os.environ.get("ROUNDS", "30"))
_GET = "/streamflow.features.v1.UserFeatureService/GetUserFeatures"
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@asynccontextmanager
async def _stub(port: int) -> AsyncIterator[Call]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary(_GET)

        def call(user: str) -> Awaitable[object]:
            answer: Awaitable[object] = method(
                GetUserFeaturesRequest(user_id=user).SerializeToString(), timeout=BOUND_S, wait_for_ready=True
            )
            return answer

        yield call


@contextmanager
def _receiver() -> Iterator[str]:
    """Yield the URL of a receiver."""
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        handler: Any = grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")
        service, method = _EXPORT.strip("/").split("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        port = server.add_insecure_port(f"127.0.0.1:{os.environ.get('RECEIVER_PORT', '0')}")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def main() -> None:
    """Measure in turns."""
    users = Path(sys.argv[1]).read_text().split()
    with ExitStack() as stack:
        sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(_receiver())}
        some = sent | {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
        settings = {"off": {}, "before": {}, "1 %": some, "all": sent}
        if not sys.argv[2:]:
            del settings["before"]
        arms = {}
        for name, variables in settings.items():
            command = Path(sys.argv[2]) if name == "before" else BIN / "feature-gateway"
            process, port = stack.enter_context(gateway(variables, command=command, feature_servers=2))
            arms[name] = Arm(process, partial(_stub, port))
        uvloop.run(measure_in_turns(arms.values(), users, rounds=_ROUNDS))
    for name, arm in arms.items():
        said = []
        for values, base in ((arm.rates, arms["off"].rates), (arm.cpu_us, arms["off"].cpu_us)):
            low, middle, high = quantiles((mine / theirs for mine, theirs in zip(values, base, strict=True)), n=4)
            said.append(f"{quantiles(values, n=4)[1]:,.1f}, {middle:.3f} ({low:.3f} to {high:.3f})")
        sys.stdout.write(f"{name}: calls/s {said[0]}; CPU of the gateway a call, µs {said[1]}\n")


if __name__ == "__main__":
    main()
