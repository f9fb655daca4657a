"""What can be looked up: the feature services and feature views that a caller may read."""

from dataclasses import dataclass

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.access.caller import Caller
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.errors import GatewayError

SERVICE, VIEW = "service", "view"


@dataclass(frozen=True)
class Choice:
    """A feature service, or all features of a feature view."""

    kind: str
    name: str

    @property
    def value(self) -> str:
        """What a link says."""
        return f"{self.kind}:{self.name}"

    @classmethod
    def of(cls, value: str) -> "Choice":
        """Return the choice that a link says; raise GatewayError."""
        kind, _, name = value.partition(":")
        if kind not in {SERVICE, VIEW}:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_MALFORMED,
                f"features takes {SERVICE}:NAME for a feature service or {VIEW}:NAME for a feature view.",
                field="features",
            )
        return cls(kind, name)

    def references(self, contract: Contract) -> list[str]:
        """Return the references of a feature view's features; one that is unknown if there is no such view."""
        view = contract.views.get(self.name)
        return [feature.reference for feature in view.features.values()] if view else [f"{self.name}:{self.name}"]

    def feature_set(self, contract: Contract, caller: Caller) -> FeatureSet:
        """Return the features; raise GatewayError if the caller may not read them, or there are none."""
        if self.kind == SERVICE:
            caller.check_service(self.name)
            return contract.feature_set_of_service(self.name)
        references = self.references(contract)
        caller.check_references(references, most=contract.feature_count)
        return contract.feature_set_of_references(references)


def choices_of(contract: Contract, caller: Caller) -> list[Choice]:
    """Return what a caller may look up, feature services first."""
    services = [Choice(SERVICE, name) for name in contract.services if caller.may_read_service(name)]
    # Without a key, nothing names a row.
    views = [Choice(VIEW, name) for name, view in contract.views.items() if view.columns and caller.may_read_view(name)]
    return services + views
