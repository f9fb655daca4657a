"""`python tracing_cost.py [BEFORE] [--quick]` prints what traces cost, in calls a second and the gateway's CPU a call.

BEFORE is another `feature-gateway`, for example one that `without_traces.py` has written. The script needs a running
stack whose `.local/env` has been exported. Gateways in front of its feature servers are asked in turns: BEFORE; this
checkout's with traces off, twice, which shows how exact the figures are; with 1 % of the calls sampled, without and
with pages; and with all calls sampled. 64 tasks of one process call with gRPC's own client, each call for another
user, without a pause. A receiver in this process, on RECEIVER_PORT, takes the spans and does not read them. The
feature servers trace too if the stack was started with OTEL_EXPORTER_OTLP_ENDPOINT.

A round asks each gateway for 0.5 s, in an order of chance. After 20 rounds all gateways are started anew, because two
processes of the same code differ by a hundredth; they are started 12 times. `--quick` has two rounds of two starts.
Ratios are those of a round to the two gateways with traces off, in geometric means: over all starts, with the interval
that has the true mean in 95 of 100 runs.
"""

import math
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import grpc
import uvloop
from compared_gateways import BIN, BOUND_S, Arm, Call, gateway, measure_in_turns, stored_users
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest

_QUICK = "--quick" in sys.argv[1:]
_STARTS, _ROUNDS = (2, 2) if _QUICK else (12, 20)
_SECONDS = 0.5
_OFF = ("off", "off again")
_COMMANDS = dict(zip(("before",), (Path(each) for each in sys.argv[1:] if not each.startswith("-")), strict=False))
"""The program of each arm that has another than this checkout's."""
# Student's, for one degree of freedom less than there are starts.
_QUANTILE = {2: 12.71, 12: 2.2}[_STARTS]
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


def _measured(settings: Mapping[str, Mapping[str, str]], users: Sequence[str]) -> dict[str, Arm]:
    """Start a gateway for each of some settings, and return what each round gave."""
    with ExitStack() as stack:
        arms = {}
        for name, variables in settings.items():
            command = _COMMANDS.get(name, BIN / "feature-gateway")
            process, port = stack.enter_context(gateway(variables, command=command, feature_servers=2))
            arms[name] = Arm(process, partial(_stub, port))
        uvloop.run(measure_in_turns(arms.values(), users, rounds=_ROUNDS, seconds=_SECONDS))
    return arms


def _said(of: Callable[[Arm], list[float]], name: str, starts: Sequence[Mapping[str, Arm]]) -> str:
    """Return the median of an arm's values, and their ratio to those with traces off."""
    ratios = []
    for arms in starts:
        off = [math.sqrt(one * other) for one, other in zip(*(of(arms[each]) for each in _OFF), strict=True)]
        ratios.append(fmean(math.log(mine / theirs) for mine, theirs in zip(of(arms[name]), off, strict=True)))
    spread = _QUANTILE * stdev(ratios) / math.sqrt(len(ratios))
    low, mean, high = (math.exp(fmean(ratios) + spread * sign) for sign in (-1, 0, 1))
    middle = median(value for arms in starts for value in of(arms[name]))
    return f"{middle:,.1f}, {mean:.4f} ({low:.4f} to {high:.4f})"


def main() -> None:
    """Measure in turns."""
    users = stored_users()
    with _receiver() as url:
        sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        some = sent | {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
        settings: dict[str, dict[str, str]] = {
            **{name: {} for name in _OFF},
            **{name: {} for name in _COMMANDS},
            "1 %": some,
            "1 % and pages": some | {"GATEWAY_PAGES": "true"},
            "all": sent,
        }
        starts = [_measured(settings, users) for _ in range(_STARTS)]
    for name in settings:
        rates, cpu = _said(lambda arm: arm.rates, name, starts), _said(lambda arm: arm.cpu_us, name, starts)
        sys.stdout.write(f"{name}: calls/s {rates}; CPU of the gateway a call, µs {cpu}\n")


if __name__ == "__main__":
    main()
