"""A gateway that is told to end, with callers at work."""

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
    """Callers who ask again and again until they are told to end, or nobody listens any more."""

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
    """Say whether a gateway that ends answers its HTTP callers for as long as it listens."""
    load = _Load()
    with ThreadPoolExecutor(_CALLERS) as pool:
        for _ in range(_CALLERS):
            pool.submit(load.over_http, gateway)
        late = _calls_from(trial, load, stop)
    trial.check("calls over HTTP are answered while it drains", holds=late > 0, saw=late)
    trial.check("none is refused", holds=not load.refusals, saw=load.refusals[:3] or "")


def check_none_lost(trial: Trial, what: str, gateways: Sequence[Gateway], stop: Callable[[], None]) -> None:
    """Say whether clients of several gateways get all their answers while something ends."""
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
    """Say whether a call that waits for frozen feature servers when its gateway is told to end is answered."""
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
    """Return how many calls were answered from when something is done until it is done."""
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
        # It listens no more.
        return True
