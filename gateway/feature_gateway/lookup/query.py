"""What is asked about users, and what the answers are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import GatewayError, OneRowError
from feature_gateway.lookup.freshness import StalenessPolicy
from feature_gateway.reads import Served
from feature_gateway.values import Row


@dataclass(frozen=True, slots=True)
class Selection:
    """The features that a request asks for; neither set means the default feature service."""

    feature_service: str | None = None
    references: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked about one user or several."""

    selection: Selection = Selection()

    contract_hash: str = ""
    """The contract that the caller was built for; empty for any."""

    max_age_s: float | None = None
    """Replaces the views' own maximum ages; None keeps them."""

    staleness_policy: StalenessPolicy = StalenessPolicy.FLAG

    authorization: str = ""
    """The caller's Authorization header; empty for none."""

    request_data: Mapping[str, Any] | None = None
    """Python values by name, or how a caller writes them (Written), which on-demand features are computed from."""


@dataclass(frozen=True, slots=True)
class UserFeatures:
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
