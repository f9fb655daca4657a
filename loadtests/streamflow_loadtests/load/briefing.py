"""What every process of a run needs to know, found out once before the first call. All targets have to answer."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import grpc
from streamflow.features.v1.user_feature_service_pb2 import GetFeatureServiceRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.load import store
from streamflow_loadtests.load.options import Options
from streamflow_loadtests.load.questions import Question
from streamflow_loadtests.load.scenarios import Kind
from streamflow_loadtests.load.security import Security
from streamflow_loadtests.load.targets import Features, Target, check

_TIMEOUT_S = 5.0


class BriefingError(Exception):
    """There is no server to load, or no user to ask for; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Briefing:
    """What every process of a run needs to know."""

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


def brief(options: Options, *, users: int, targets: Iterable[Target], environment: Mapping[str, str]) -> Briefing:
    """Return the briefing of a run against `targets`, each of which has answered for a user. Raises BriefingError."""
    security = Security.of(environment)
    features = _features(options, security)
    try:
        user_ids = store.user_ids(environment, join_key=features.join_key, at_most=options.max_user_ids)
    except store.StoreError as error:
        raise BriefingError(str(error)) from error
    # The first is the hottest of the hot ones, which is to depend on the seed.
    random.Random(options.seed).shuffle(user_ids)  # noqa: S311  # repeatable, not secret
    for target in targets:
        for address in target.addresses(options):
            _try(target, address, user_ids[0], features, options, security=security)
    return Briefing(user_ids=tuple(user_ids), features=features, users=users)


def _features(options: Options, security: Security) -> Features:
    """Return the feature service's features as the gateway's contract has them."""
    name = options.feature_service
    try:
        channel, metadata = security.channel(options.gateway_grpc), security.metadata()
    except (OSError, ValueError) as error:
        raise BriefingError(f"STREAMFLOW_FEATURES_… variables can't be used: {error}") from error
    with channel:
        stub = UserFeatureServiceStub(channel)
        try:
            found = stub.GetFeatureService(GetFeatureServiceRequest(name=name), timeout=_TIMEOUT_S, metadata=metadata)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            if code is grpc.StatusCode.UNAUTHENTICATED:
                raise BriefingError(
                    f"the gateway at {options.gateway_grpc} asks for credentials; `. .local/env` has those of a stack, "
                    "and STREAMFLOW_FEATURES_TOKEN_FILE names a file with a token"
                ) from error
            if code is grpc.StatusCode.NOT_FOUND:
                raise BriefingError(f"the gateway at {options.gateway_grpc} has no feature service {name}") from error
            raise BriefingError(
                f"the gateway at {options.gateway_grpc} does not answer ({code.name}); `make up` starts a stack"
            ) from error
    references = tuple(feature.feature_reference for feature in found.feature_service.features)
    return Features(service=name, join_key=found.join_key, references=references)


def _try(
    target: Target, address: str, user_id: str, features: Features, options: Options, *, security: Security
) -> None:
    question = Question((user_id,), Kind.ONE)
    api = target.api(features, options)
    request = api.request(question.user_ids)
    try:
        connection = target.connect(address, timeout_s=_TIMEOUT_S, security=security)
        try:
            check(api.replies(request, connection.send(request)), question, features)
        finally:
            connection.close()
    except (CallError, OSError, ValueError) as error:
        raise BriefingError(f"{target.label} at {address} does not answer for {user_id}: {error}") from error
