"""What a run goes by, found out once before its first call: users of the store, features, that all targets answer."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import grpc
from streamflow.features.v1.user_feature_service_pb2 import GetFeatureServiceRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_loadtests.load import store
from streamflow_loadtests.load.options import Options
from streamflow_loadtests.load.questions import Question
from streamflow_loadtests.load.scenarios import Kind
from streamflow_loadtests.load.targets import CallError, FeastHttp, Features, GatewayGrpc, GatewayHttp, Target

_TIMEOUT_S = 5.0

TargetClass = type[GatewayGrpc] | type[GatewayHttp] | type[FeastHttp]


class PlanError(Exception):
    """There is nothing to put load on, or nobody to ask for; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every process of a run is told."""

    user_ids: tuple[str, ...]
    features: Features

    users: int
    """Locust users of the whole run at full load, in all processes."""

    def to_wire(self) -> dict[str, Any]:
        """Return it in msgpack's types."""
        return asdict(self)

    @classmethod
    def of_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Return what `to_wire` made."""
        features = {**wire["features"], "references": tuple(wire["features"]["references"])}
        return cls(user_ids=tuple(wire["user_ids"]), features=Features(**features), users=wire["users"])


def make(options: Options, *, users: int, targets: Iterable[TargetClass], environment: Mapping[str, str]) -> Plan:
    """Return the plan of a run against `targets`, each of which has answered for one of the users. Raises PlanError."""
    features = _features(options)
    try:
        user_ids = store.user_ids(environment, join_key=features.join_key, at_most=options.max_user_ids)
    except store.StoreError as error:
        raise PlanError(str(error)) from error
    # The first is the hottest of the hot ones, which is to depend on the seed.
    random.Random(options.seed).shuffle(user_ids)  # noqa: S311  # repeatable, not secret
    for kind in targets:
        for address in addresses(kind, options):
            _try(kind, address, user_ids[0], features)
    return Plan(user_ids=tuple(user_ids), features=features, users=users)


def addresses(kind: TargetClass, options: Options) -> list[str]:
    """Return where a kind of target is, one address or several."""
    if issubclass(kind, GatewayGrpc):
        return [options.gateway_grpc]
    return (options.gateway_http if issubclass(kind, GatewayHttp) else options.feast_http).split(",")


def connect(kind: TargetClass, address: str, features: Features, *, timeout_s: float) -> Target:
    """Return a target's connections, to be made when it is first asked. Raises ValueError for what is no address."""
    if issubclass(kind, GatewayGrpc):
        return kind(address, features)
    return kind(address, features, timeout_s=timeout_s)


def _features(options: Options) -> Features:
    """Return the feature service's features as the gateway's contract has them."""
    name = options.feature_service
    with grpc.insecure_channel(options.gateway_grpc) as channel:
        stub = UserFeatureServiceStub(channel)
        try:
            found = stub.GetFeatureService(GetFeatureServiceRequest(name=name), timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            if code is grpc.StatusCode.NOT_FOUND:
                raise PlanError(f"the gateway at {options.gateway_grpc} has no feature service {name}") from error
            raise PlanError(
                f"the gateway at {options.gateway_grpc} does not answer ({code.name}); `make up` starts a stack"
            ) from error
    references = tuple(feature.feature_reference for feature in found.feature_service.features)
    return Features(service=name, join_key=found.join_key, references=references)


def _try(kind: TargetClass, address: str, user_id: str, features: Features) -> None:
    question = Question((user_id,), Kind.ONE)
    try:
        target = connect(kind, address, features, timeout_s=_TIMEOUT_S)
        try:
            reply, _ = target.ask(question, timeout_s=_TIMEOUT_S)
            target.check(reply, question)
        finally:
            target.close()
    except (CallError, ValueError) as error:
        raise PlanError(f"{kind.label} at {address} does not answer for {user_id}: {error}") from error
