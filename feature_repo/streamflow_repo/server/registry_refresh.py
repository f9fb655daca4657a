"""Feast's refresh of the registry, made to go on after an outage of PostgreSQL.

`feast serve` reads the registry anew in a thread that sets the next one's timer as its last step. A step before that,
the look for vector stores, raises while PostgreSQL is away: the refresh then was the last of the process's life.
"""

import logging
from typing import Any

from feast.vector_store_utils import VectorStoreRegistry

_log = logging.getLogger(__name__)


def outlast_outages() -> None:
    """Have the feature servers of this process go on with the registry that they have, and refresh it when they can."""
    refresh = VectorStoreRegistry.refresh

    def refresh_if_possible(self: Any) -> None:
        try:
            refresh(self)
        except Exception as error:  # noqa: BLE001  # whatever it was, the next refresh must come
            _log.warning("the registry can't be read, and stays as it was: %s", error)

    VectorStoreRegistry.refresh = refresh_if_possible  # type: ignore[method-assign]
