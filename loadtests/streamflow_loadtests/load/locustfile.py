"""What locust is started with: `locust -f` this file."""

# Before all that follows: it makes the standard library cooperate.
from locust import events, stats

from streamflow_loadtests.load import hooks
from streamflow_loadtests.load.shape import ScenarioShape
from streamflow_loadtests.load.users import FeastHttpUser, GatewayGrpcUser, GatewayHttpUser

__all__ = ["FeastHttpUser", "GatewayGrpcUser", "GatewayHttpUser", "ScenarioShape"]

_FINE_BELOW_MS = 100
_whole_ms = stats.bucket_response_time


def _bucket(response_time: float) -> float:
    """Return a duration as locust keeps it, but to a tenth of a millisecond where it has whole ones."""
    return round(response_time, 1) if response_time < _FINE_BELOW_MS else _whole_ms(response_time)


# Where locust has them be set.
stats.bucket_response_time = _bucket  # type: ignore[assignment]
stats.PERCENTILES_TO_CHART = [0.5, 0.99]
stats.PERCENTILES_TO_STATISTICS = [0.5, 0.99]
hooks.register(events)
