"""The gauges that are read at each scrape, each from a function of the part that knows."""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict, cast

from prometheus_client import CollectorRegistry, Gauge

_MEANINGS = {
    "ready": "1 when calls should be sent here, else 0.",
    "queued_calls": "Rows that wait for a read to start.",
    "queued_groups": "Groups of calls that wait: calls of one group can share a read, and groups take turns.",
    "max_queued_calls": "The most rows that may wait.",
    "reads_in_flight": "Reads under way.",
    "slots": "Reads that the feature servers in service may have at once.",
    "slots_taken": "Slots of feature servers in use.",
    "replicas": "Feature servers known.",
    "replicas_set_aside": "Feature servers ejected now.",
    "streams": "Streams open.",
    "max_streams": "The most streams that may be open.",
    "contracts_accepted": "Changed contracts swapped in since the start.",
    "contracts_refused": "Changed contracts refused since the start.",
    "contract_pending": "1 while a changed contract waits for the feature servers to answer by it, else 0.",
    "contract_file_refused": "1 while the contract's file can't be used and the old contract is in service, else 0.",
    "certificates_refused": "1 while changed TLS files can't be used and the old ones are in use, else 0.",
    "access_refused": "1 while changed tokens, keys or policy can't be used and the old ones are in use, else 0.",
}


class Readings(TypedDict):
    """A function for each gauge, by its name without `gateway_`."""

    ready: Callable[[], bool]
    queued_calls: Callable[[], int]
    queued_groups: Callable[[], int]
    max_queued_calls: Callable[[], int]
    reads_in_flight: Callable[[], int]
    slots: Callable[[], int]
    slots_taken: Callable[[], int]
    replicas: Callable[[], int]
    replicas_set_aside: Callable[[], int]
    streams: Callable[[], int]
    max_streams: Callable[[], int]
    contracts_accepted: Callable[[], int]
    contracts_refused: Callable[[], int]
    contract_pending: Callable[[], bool]
    contract_file_refused: Callable[[], bool]
    certificates_refused: Callable[[], bool]
    access_refused: Callable[[], bool]


class Gauges:
    """All gauges without a label; each is 0 until it is watched."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Create and register them."""
        self._gauges = {
            name: Gauge(f"gateway_{name}", meaning, registry=registry) for name, meaning in _MEANINGS.items()
        }

    def watch(self, readings: Readings) -> None:
        """Set what is called at each scrape."""
        for name, read in cast("Mapping[str, Any]", readings).items():
            self._gauges[name].set_function(read)
