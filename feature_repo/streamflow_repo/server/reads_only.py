"""Feast's app without the routes that write to the stores, chat, or describe the app.

What stays is listed, so that a route that a later Feast adds is not there either.
"""

import logging
from typing import Any

from feast import FeatureStore
from streamflow_logs import Event

from streamflow_repo.server.apps import change_apps

_log = logging.getLogger(__name__)

READS = frozenset(
    {
        "/health",
        "/get-online-features",
        "/search",
        "/retrieve-online-documents",
        "/v1/vector_stores",
        "/v1/vector_stores/{vector_store_id}",
        "/v1/vector_stores/{vector_store_id}/search",
    }
)
"""Feast's routes that only read the online store and the registry."""


def leave_out_writes() -> None:
    """Have the apps of this process answer 404 at every route of Feast's that is not in READS."""
    change_apps(_leave_out)


def _leave_out(app: Any, _store: FeatureStore) -> None:
    left_out = sorted({path for route in app.routes if (path := getattr(route, "path", "")) not in READS})
    app.router.routes[:] = [route for route in app.routes if getattr(route, "path", "") in READS]
    _log.info(Event("routes left out", reason="FEATURE_SERVER_ROUTES is not all", routes=", ".join(left_out)))
