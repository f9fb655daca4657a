"""Writes users' newest features to Redis, removes departed users there, and compares Redis with PostgreSQL."""

from streamflow_offline.materialize.job import materialize
from streamflow_offline.materialize.losses import DEFAULT_ALLOWED_SHARE
from streamflow_offline.materialize.plan import Mode
from streamflow_offline.materialize.report import FreshnessError, ViewReport, as_json

__all__ = ["DEFAULT_ALLOWED_SHARE", "FreshnessError", "Mode", "ViewReport", "as_json", "materialize"]
