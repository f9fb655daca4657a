"""What an audit is asked for."""

from dataclasses import dataclass

from streamflow_offline.errors import JobError

DEFAULT_USERS = 1000
DEFAULT_GATEWAY_PORT = 50051


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """One audit."""

    feature_service: str = "churn_v1"

    gateway: str = f"127.0.0.1:{DEFAULT_GATEWAY_PORT}"
    """The gateway's address, or several, as FeatureClient takes it."""

    users: int | None = DEFAULT_USERS
    """How many of the users with features in PostgreSQL; None for all."""

    threshold: float = 0.0
    """The share of differing users that a feature may have."""

    seed: int = 0
    """The same seed draws the same users from the same PostgreSQL."""

    timeout_s: float = 10.0
    """What a call to the gateway may take."""

    recheck_after_s: float = 1.0
    """How long users who differ are left alone before they are read once more."""

    def check(self) -> None:
        """Raise JobError for what no audit can be made of."""
        if self.users is not None and self.users < 1:
            raise JobError(f"an audit of {self.users} users compares nothing; give --users at least 1, or --all")
        if not 0 <= self.threshold <= 1:
            raise JobError(f"the threshold {self.threshold} is no share of users; give --threshold from 0 to 1")
        if not self.timeout_s > 0:
            raise JobError(f"no call is answered within {self.timeout_s} s; give --timeout-s above 0")
