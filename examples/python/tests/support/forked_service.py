"""The example's service and a client, both made before gunicorn forks its workers."""

import os
from collections.abc import Awaitable, Callable

from churn_service import app
from fastapi import Request, Response
from streamflow_features import FeatureClient

__all__ = ["app"]

_early = FeatureClient()


@app.middleware("http")
async def with_pid(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["x-pid"] = str(os.getpid())
    return response


@app.get("/early/{user_id}")
def early(user_id: str) -> bool:
    """Whether a client that was made before the fork knows a user."""
    return _early.get_user_features(user_id, timeout_s=20).user_known
