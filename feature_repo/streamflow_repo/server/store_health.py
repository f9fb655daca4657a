"""`/health?store`: whether reads through to the online store succeed, for readiness probes.

Feast's own `/health` answers from memory. It suits liveness probes, because a restart brings no store back. Feast's
server ignores the parameter, so that one readiness probe suits both servers.
"""

import logging
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from feast import FeatureStore
from streamflow_logs import Event

from streamflow_repo.logs import said
from streamflow_repo.server.apps import change_apps
from streamflow_repo.server.store_reads import read_each_view

_log = logging.getLogger(__name__)
PATH = "/health"
PARAMETER = "store"
_TIMEOUT_S = 3.0


def tell_store_health() -> None:
    """Have the apps of this process answer `/health?store` with 200 once a row of each view was read, otherwise 503."""
    change_apps(_add)


def _add(app: Any, store: FeatureStore) -> None:
    (feasts,) = (route for route in app.routes if getattr(route, "path", "") == PATH)
    health = _StoreHealth(store)

    async def answer(request: Request) -> Response:
        if PARAMETER not in request.query_params:
            response: Response = await feasts.endpoint()
            return response
        return Response(status_code=200 if await health.check() else 503)

    # The first route of a path answers.
    app.router.routes.insert(0, APIRoute(PATH, answer, methods=["GET"]))


class _StoreHealth:
    """Whether the last read succeeded; the log has a line when that changes."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._well = True

    async def check(self) -> bool:
        before = self._well
        try:
            await read_each_view(self._store, timeout_s=_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001  # whatever failed, reads of callers would fail too
            self._well = False
            if before:
                _log.warning(Event("not ready", reason=said(error)))
        else:
            self._well = True
            if not before:
                _log.warning(Event("ready"))
        return self._well
