"""What a run measures by default: which arm under which workloads."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from streamflow_loadtests.bench.servers import default_engine, shortest
from streamflow_loadtests.bench.targets import TARGETS
from streamflow_loadtests.bench.workloads import CALLERS, Workload

_ONE = Workload(users=1, callers=1)
_MANY = Workload(users=1, callers=64)
_MOST = Workload(users=1, callers=256)
APART = Workload(users=1, callers=64, apart=True)
"""64 callers whose calls no client can merge."""

SINGLE = tuple(Workload(users=1, callers=callers) for callers in CALLERS)
_BATCHES = tuple(Workload(users=users, callers=callers) for users in (10, 100) for callers in (1, 16))
_OTHER_ENGINE = "native" if default_engine() == "grpcio" else "grpcio"

DEFAULT: Mapping[str, Sequence[Workload]] = {
    **dict.fromkeys(("stock", "tuned", "listen", "server", "feast-go"), (*SINGLE, *_BATCHES, APART)),
    "gateway": (*SINGLE, *_BATCHES),
    "gateway:unmerged": SINGLE,
    "gateway:grpc.aio": (*SINGLE, APART),
    "gateway:feast-stub": (_ONE, _MANY),
    "gateway:threads": (_ONE, _MANY),
    # What stands behind the gateway, and what serves its gRPC.
    **dict.fromkeys(("gateway-stock", "gateway-tuned"), (_ONE, _MANY)),
    **dict.fromkeys((f"gateway{before}-{_OTHER_ENGINE}" for before in ("", "-stock", "-tuned")), (_ONE, _MANY)),
    **dict.fromkeys(
        (
            f"gateway{before}{engine}:unmerged"
            for before in ("-stock", "-tuned")
            for engine in ("", f"-{_OTHER_ENGINE}")
        ),
        (_MANY,),
    ),
    f"gateway-{_OTHER_ENGINE}:unmerged": (_MANY,),
    f"gateway-{_OTHER_ENGINE}:grpc.aio": (_ONE, _MANY, APART),
    "gateway:go": (*SINGLE, APART),
    f"gateway-{_OTHER_ENGINE}:go": (*SINGLE, APART),
    **dict.fromkeys(("gateway:go-merged", f"gateway-{_OTHER_ENGINE}:go-merged"), (_ONE, _MANY, _MOST)),
    "feast-go:go": (*SINGLE, APART),
    # Not `stock:go`: after 1,000 requests `stock` resets connections, and a caller that sends no request again fails.
    "tuned:go": (_ONE, _MANY),
    # What bounds a gateway with the engine grpcio.
    "echo:go": (_MANY,),
    **dict.fromkeys((f"{server}:h2load" for server in ("gateway", f"gateway-{_OTHER_ENGINE}", "feast-go")), (APART,)),
}


def named_by_targets() -> Mapping[str, Sequence[Workload]]:
    """Return what has to be measured for every target to be judged."""
    found: defaultdict[str, list[Workload]] = defaultdict(list)
    for target in TARGETS:
        for arm in map(shortest, (target.of, target.against)):
            if target.workload not in found[arm]:
                found[arm].append(target.workload)
    return found
