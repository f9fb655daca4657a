"""Scores any number of users: reads a CSV in slices, asks the gateway for their features, writes what came of each.

    python examples/python/score_users.py MODEL USERS.csv SCORES.csv [--gateway HOST:PORT] [--patience-s SECONDS]

MODEL is a file that `train_churn.py --save` wrote. USERS.csv has the column user_id. SCORES.csv gets its columns, and
"churn_probability" and "error": each user has one of the two. No more than a slice is in memory at a time.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from churn_model import ChurnModel
from streamflow_features import (
    DeadlineExceeded,
    FeatureClient,
    FeatureServingError,
    ResourceExhausted,
    Unavailable,
    UserFeatures,
    UserFeaturesBatch,
)

_SLICE_USERS = 10_000
_TIMEOUT_S = 5.0

_PASSING = (DeadlineExceeded, ResourceExhausted, Unavailable)
"""Errors that pass: their users are asked for again."""

_PATIENCE_S = 60.0
"""How long users of a slice are asked for again: longer than a gateway takes to restart."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0

_UNKNOWN = "UNKNOWN_USER"

Progress = Callable[[int], object]
"""Takes how many of a slice's users have a probability or an error."""


def scored(
    users: pd.DataFrame,
    model: ChurnModel,
    client: FeatureClient,
    *,
    progress: Progress = lambda _done: None,
    patience_s: float = _PATIENCE_S,
) -> pd.DataFrame:
    """Return users, by the column user_id, with the columns churn_probability and error.

    Users whose error passes are asked for again, after longer and longer pauses, for `patience_s` seconds. Raises
    FeatureServingError for what would fail every user, such as another contract.
    """
    probabilities: dict[str, float] = {}
    errors: dict[str, str] = {}
    remaining: Sequence[str] = list(dict.fromkeys(users["user_id"]))
    pause_s, ends = _FIRST_PAUSE_S, time.monotonic() + patience_s
    while True:
        told = _counted_from(len(users) - len(remaining), progress)
        batch = client.get_users_features(remaining, retries=3, progress=told)
        probabilities |= _probabilities(batch.ok, model)
        errors |= dict.fromkeys(remaining, _UNKNOWN)
        errors |= {user_id: error.code.name for user_id, error in batch.errors.items()}
        remaining = [user_id for user_id, error in batch.errors.items() if isinstance(error, _PASSING)]
        if not remaining or time.monotonic() + pause_s > ends:
            break
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    probability = users["user_id"].map(probabilities)
    error = users["user_id"].map(errors).where(probability.isna())
    return users.assign(churn_probability=probability, error=error)


def _counted_from(start: int, progress: Progress) -> Callable[[int, int], object]:
    return lambda done, _of: progress(start + done)


def _probabilities(batch: UserFeaturesBatch, model: ChurnModel) -> dict[str, float]:
    known = [isinstance(features, UserFeatures) and features.user_known for features in batch]
    if not any(known):
        return {}
    frame = batch.to_pandas(dtypes=model.dtypes)[known]
    return dict(zip(frame["user_id"], model.probabilities(frame), strict=True))


def score_file(
    users: Path, scores: Path, model: ChurnModel, client: FeatureClient, *, patience_s: float = _PATIENCE_S
) -> pd.Series:
    """Write the scores of a file's users to another, which is there only once it is whole; return how many got what."""
    unfinished = scores.with_name(scores.name + ".part")
    outcomes = pd.Series(dtype="int64")
    done = 0
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        for part in _slices(users):
            result = scored(part, model, client, progress=partial(_tell, done), patience_s=patience_s)
            result.to_csv(file, header=done == 0, index=False)
            outcomes = outcomes.add(result["error"].fillna("scored").value_counts(), fill_value=0)
            done += len(part)
    unfinished.replace(scores)
    return outcomes.astype("int64")


def _slices(users: Path) -> Iterator[pd.DataFrame]:
    # Ids are texts as they are: pandas would read "007" as a number, and "NA" as a missing value.
    yield from pd.read_csv(users, dtype=str, keep_default_na=False, chunksize=_SLICE_USERS)


def _tell(before: int, done: int) -> None:
    print(f"{before + done:,} users", end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def main() -> None:
    """Score users, and print how many have a probability, or which error. Exits with 1 when errors remain that pass."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("users", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--gateway", help="by default STREAMFLOW_FEATURES_TARGET, else 127.0.0.1:50051")
    parser.add_argument(
        "--patience-s", type=float, default=_PATIENCE_S, help="how long users whose error passes are asked for again"
    )
    arguments = parser.parse_args()
    model = ChurnModel.load(arguments.model)
    with FeatureClient(arguments.gateway, timeout_s=_TIMEOUT_S) as client:
        bound = client.bind(feature_service=model.feature_service, contract_hash=model.contract_hash)
        try:
            outcomes = score_file(arguments.users, arguments.scores, model, bound, patience_s=arguments.patience_s)
        except FeatureServingError as error:
            sys.exit(f"error: {error}")
    print(outcomes.sort_values(ascending=False).to_string())
    sys.exit(any(outcomes.get(code, 0) for code in ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE")))


if __name__ == "__main__":
    main()
