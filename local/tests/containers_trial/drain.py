"""What callers of a gateway see while the gateway stops."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.error import HTTPError

from gateways import USER_ID, Gateway, client
from streamflow_features import FeatureServingError
from trial import Trial

_CALLERS = 4
_WARM_CALLS = 100
_IN_FLIGHT_S = 12.0


@dataclass
class _Load:
    """Callers that call again and again until `over` is set or no server listens."""

    answered_at: list[float] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    over: bool = False

    def over_http(self, gateway: Gateway) -> None:
        while not self.over:
            try:
                gateway.ask()
            except HTTPError as error:
                self.refusals.append(str(error))
            except OSError:
                return
            else:
                self.answered_at.append(time.monotonic())

    def over_grpc(self, gateways: Sequence[Gateway]) -> None:
        with client(*gateways) as features:
            while not self.over:
                try:
                    features.get_user_features(USER_ID)
                except FeatureServingError as error:
                    self.refusals.append(str(error))
                else:
                    self.answered_at.append(time.monotonic())


def check_drained(trial: Trial, gateway: Gateway, stop: Callable[[], None]) -> None:
    """Check that a gateway that stops answers HTTP calls as long as it listens."""
    load = _Load()
    with ThreadPoolExecutor(_CALLERS) as pool:
        for _ in range(_CALLERS):
            pool.submit(load.over_http, gateway)
        late = _calls_from(trial, load, stop)
    trial.check("calls over HTTP are answered while it drains", holds=late > 0, saw=late)
    trial.check("none is refused", holds=not load.refusals, saw=load.refusals[:3] or "")


def check_none_lost(trial: Trial, what: str, gateways: Sequence[Gateway], stop: Callable[[], None]) -> None:
    """Check that clients of several gateways lose no call while something stops."""
    load = _Load()
    with ThreadPoolExecutor(_CALLERS) as pool:
        for _ in range(_CALLERS):
            pool.submit(load.over_grpc, gateways)
        late = _calls_from(trial, load, stop)
    trial.check(
        f"no gRPC call is lost while {what}",
        holds=late > 0 and not load.refusals,
        saw=f"{late} answered, {len(load.refusals)} lost {load.refusals[:3] or ''}".strip(),
    )


def check_in_flight(trial: Trial, gateway: Gateway, *, servers: Sequence[str], stop: Callable[[], None]) -> None:
    """Check that a gateway that stops still answers a call that waits for frozen feature servers."""
    with ThreadPoolExecutor(2) as pool:
        trial.podman("pause", *servers)
        try:
            call: Future[dict[str, object]] = pool.submit(gateway.ask, deadline_s=_IN_FLIGHT_S)
            trial.wait("a call is in flight", lambda: gateway.metric("gateway_reads_in_flight") > 0, timeout_s=5)
            stopping = pool.submit(stop)
            trial.wait("the gateway drains", lambda: _is_draining(gateway), timeout_s=10)
        finally:
            trial.podman("unpause", *servers)
        seen: object
        try:
            seen = call.result(timeout=_IN_FLIGHT_S * 2).get("user_known")
        except OSError as error:
            seen = error
        trial.check("the call in flight is answered", holds=seen is True, saw=seen)
        stopping.result(timeout=60)


def _calls_from(trial: Trial, load: _Load, act: Callable[[], None]) -> int:
    """Return how many calls were answered while `act` ran."""
    try:
        trial.wait("calls are answered", lambda: len(load.answered_at) > _WARM_CALLS, timeout_s=30)
        started = time.monotonic()
        act()
    finally:
        load.over = True
    return sum(answered > started for answered in load.answered_at)


def _is_draining(gateway: Gateway) -> bool:
    try:
        return "ending" in gateway.unready()
    except OSError:
        # It does not listen any more.
        return True
