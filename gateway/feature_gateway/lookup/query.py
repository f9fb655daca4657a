"""What is asked about users, and what the answers are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from feature_gateway.access.caller import ANYONE, Caller
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError, OneRowError
from feature_gateway.lookup.freshness import StalenessPolicy
from feature_gateway.reads import Served
from feature_gateway.values import Row


class Selection(NamedTuple):
    """The features that a request asks for; neither set means the default feature service."""

    feature_service: str | None = None
    references: Sequence[str] | None = None


class Query(NamedTuple):
    """What is asked about one user or several."""

    selection: Selection = Selection()

    contract_hash: str = ""
    """The contract that the caller was built for; empty for any."""

    max_age_s: float | None = None
    """Replaces the views' own maximum ages; None keeps them."""

    staleness_policy: StalenessPolicy = StalenessPolicy.FLAG

    caller: Caller = ANYONE

    request_data: Mapping[str, Any] | None = None
    """Python values by name, or how a caller writes them (Written), which on-demand features are computed from."""


class Question(NamedTuple):
    """A query about one user that has been checked."""

    user_id: str
    query: Query

    contract: Contract
    """What it is answered by, to its end."""

    feature_set: FeatureSet
    key: RowKey

    started: float
    """When it was asked, by the event loop's clock."""


class UserFeatures(NamedTuple):
    """One user's features, their contract, and how they were served."""

    user_id: str
    feature_set: FeatureSet
    row: Row
    contract_hash: str
    served: Served

    gateway_s: float
    """From the query until the features were ready."""


@dataclass(frozen=True, slots=True)
class RowFailure:
    """Why one of several rows could not be read."""

    error: OneRowError


@dataclass(frozen=True, slots=True)
class UserFailure:
    """Why a batch has no features of one of its users."""

    user_id: str
    error: GatewayError
