"""What is compared: the arms by name."""

import re
from collections.abc import Callable, Mapping

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.bench import feast_arms, gateway_arms
from streamflow_loadtests.bench.arm import Arm
from streamflow_loadtests.bench.gateway_arms import ECHO, FAR, GATEWAY, STACK

_MAKERS: Mapping[str, Callable[[Bed], Arm]] = {
    "stock": feast_arms.stock,
    "tuned": feast_arms.tuned,
    "listen": feast_arms.listen,
    GATEWAY: gateway_arms.gateway,
    ECHO: gateway_arms.echo,
    STACK: gateway_arms.stacked,
    FAR: gateway_arms.far,
}

ALL_ARMS = tuple(_MAKERS)
DEFAULT_ARMS = ("stock", "tuned", "listen", GATEWAY)

_SIZED_GATEWAY = re.compile(r"gateway-([1-9]\d{0,5})(?:x([1-9]))?")


def exists(name: str) -> bool:
    """Return whether `start` knows the name: one of ALL_ARMS, or gateway-NxM for reads of up to N users, M at once."""
    return name in _MAKERS or _SIZED_GATEWAY.fullmatch(name) is not None


def start(name: str, bed: Bed) -> Arm:
    """Start an arm by its name, on free ports."""
    sized = _SIZED_GATEWAY.fullmatch(name)
    if sized is None:
        return _MAKERS[name](bed)
    settings = {"GATEWAY_MAX_BATCH_SIZE": sized[1], "GATEWAY_READS_PER_FEATURE_SERVER": sized[2] or "1"}
    return gateway_arms.before(1, bed, name=name, suffix=name.removeprefix(GATEWAY), settings=settings)
