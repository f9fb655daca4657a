"""The dashboards: what operators and data scientists look at in Grafana."""

from collections.abc import Callable, Mapping

from grafana_foundation_sdk.builders.dashboard import Dashboard

from streamflow_monitoring.boards import capacity, feature_health, serving

__all__ = ["DASHBOARDS"]

DASHBOARDS: Mapping[str, Callable[[], Dashboard]] = {
    "serving": serving.dashboard,
    "feature-health": feature_health.dashboard,
    "capacity": capacity.dashboard,
}
"""The dashboards by the names of their files."""
