"""Each user's newest features into Redis, out of Redis what PostgreSQL no longer has, and proof that they agree."""

from streamflow_offline.materialize.job import materialize
from streamflow_offline.materialize.report import FreshnessError, ViewReport, as_json
from streamflow_offline.materialize.window import Mode

__all__ = ["FreshnessError", "Mode", "ViewReport", "as_json", "materialize"]
