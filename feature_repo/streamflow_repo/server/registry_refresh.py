"""Feast's refresh of the registry, continued after an outage of PostgreSQL.

`feast serve` refreshes the registry in a thread that starts the timer of the next refresh as its last step. The step
before it, the search for vector stores, raises while PostgreSQL is away. The process then never refreshes again.
"""

import logging
from typing import Any

from feast.vector_store_utils import VectorStoreRegistry
from streamflow_logs import Event

from streamflow_repo.logs import said

_log = logging.getLogger(__name__)


def outlast_outages() -> None:
    """Have the feature servers of this process keep their registry while a refresh fails, and try again at the next."""
    refresh = VectorStoreRegistry.refresh

    def refresh_if_possible(self: Any) -> None:
        try:
            refresh(self)
        except Exception as error:  # noqa: BLE001  # whatever failed, the next refresh must come
            _log.warning(Event("registry not read", reason=said(error)))

    VectorStoreRegistry.refresh = refresh_if_possible  # type: ignore[method-assign]
