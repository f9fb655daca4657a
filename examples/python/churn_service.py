"""Predicts churn for one user, as a FastAPI service whose model reads its features from the gateway.

    cd examples/python && CHURN_MODEL=model.joblib uvicorn churn_service:app --workers 2

CHURN_MODEL is a file that `train_churn.py --save` wrote. CHURN_BUDGET_S is how long a prediction waits for features,
0.02 s unless it is set: the caller of this service has a deadline, too. The client takes the gateway's address and its
credentials from STREAMFLOW_FEATURES_… variables.
"""

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypedDict

import pandas as pd
from churn_model import ChurnModel
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from streamflow_features import AsyncFeatureClient, ErrorReason, FeatureServingError, FeatureStatus

_BUDGET_S = "0.02"
_CHECK_S = 1.0

_WRONG_ID = {ErrorReason.USER_ID_EMPTY, ErrorReason.USER_ID_TOO_LONG, ErrorReason.USER_ID_MALFORMED}


class Prediction(BaseModel):
    """What the service says of a user."""

    user_id: str
    churn_probability: float

    missing: list[str]
    """The features without a value, which the model reads as it read them in training: as missing."""

    too_old: list[str]
    """The features that are older than their maximum age. The model reads them all the same."""

    stale_age_s: float | None
    """How long ago the features were read, when the gateway answered from an earlier read."""


class State(TypedDict):
    """What a worker process has. A request finds it as its `state`."""

    model: ChurnModel
    client: AsyncFeatureClient


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
    """Load the model, and make the client: here and not on import, because each process needs a client of its own."""
    model = ChurnModel.load(Path(os.environ["CHURN_MODEL"]))
    budget_s = float(os.environ.get("CHURN_BUDGET_S", _BUDGET_S))
    async with AsyncFeatureClient(timeout_s=budget_s) as unbound:
        client = unbound.bind(feature_service=model.feature_service, contract_hash=model.contract_hash)
        # Connects before the first user waits. Without a gateway the service starts, and is not ready.
        with suppress(FeatureServingError):
            await client.check(timeout_s=_CHECK_S)
        yield {"model": model, "client": client}


app = FastAPI(title="Churn", lifespan=lifespan)


@app.exception_handler(FeatureServingError)
async def failed(_request: Request, error: FeatureServingError) -> JSONResponse:
    """Say that the user id is wrong, or that there are no features now: 503, on which load balancers try elsewhere."""
    content = {
        "error": error.code.name,
        "reason": error.reason.name if error.reason else None,
        "message": str(error),
    }
    if error.reason in _WRONG_ID:
        return JSONResponse(content, status_code=400)
    return JSONResponse(content, status_code=503, headers={"Retry-After": str(math.ceil(error.retry_after_s or 1))})


@app.get("/churn/{user_id}")
async def churn(user_id: str, request: Request) -> Prediction:
    """Return a user's probability of churn. 404 for a user without features."""
    model: ChurnModel = request.state.model
    client: AsyncFeatureClient = request.state.client
    features = await client.get_user_features(user_id)
    if not features.user_known:
        raise HTTPException(404, f"There are no features of {user_id}.")
    # In a thread: a prediction takes some milliseconds, in which other requests go on.
    [probability] = await run_in_threadpool(model.probabilities, pd.DataFrame([dict(features)]))
    return Prediction(
        user_id=user_id,
        churn_probability=probability,
        missing=[name for name, value in features.items() if value is None],
        too_old=[name for name, status in features.statuses.items() if status is FeatureStatus.OUTSIDE_MAX_AGE],
        stale_age_s=features.stale_age_s,
    )


@app.get("/health")
async def health() -> None:
    """Answer: the process is alive, whatever the gateway does. Restarting this service does not help a gateway."""


@app.get("/ready")
async def ready(request: Request) -> dict[str, str]:
    """Return the contract that the gateway answers by. 503 without a gateway, or when it has another."""
    client: AsyncFeatureClient = request.state.client
    return {"contract_hash": await client.check(timeout_s=_CHECK_S)}
