"""Close the loop: train on a training set, evaluate by month, and score users through the gateway.

    python examples/python/train_churn.py DATASET [--user ID] [--gateway HOST:PORT] [--save FILE]

DATASET is a Parquet dataset of `offline training-set`. Names, order and types of the features come from its manifest,
which has them from the contract; the gateway is asked to answer by that contract alone.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
from churn_model import SEED, ChurnModel, TrainingSet, encoded, new_pipeline
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from streamflow_features import FeatureClient, FeatureServingError

_FOLDS = 5


class ScoringError(Exception):
    """A user can't be scored, or is scored differently by what is served than by what was trained on."""


@dataclass(frozen=True, kw_only=True)
class MonthScore:
    """How well one month's labels are predicted."""

    as_of: date
    rows: int
    label_rate: float

    auc_within: float
    """ROC AUC of the month's rows, each predicted by a model of the other folds of the same month."""

    auc_from_earlier: float | None
    """ROC AUC of the month's rows by a model of all months before; None for the first."""


def evaluate(training_set: TrainingSet) -> Iterator[MonthScore]:
    """Yield how well each month is predicted, oldest first."""
    labelled = training_set.labelled
    for as_of in labelled.months:
        month = labelled.of(pc.field("as_of") == as_of)
        earlier = labelled.of(pc.field("as_of") < as_of)
        frame, labels = month.rows.to_pandas(), month.labels
        folds = StratifiedKFold(n_splits=_FOLDS, shuffle=True, random_state=SEED)
        within = cross_val_predict(
            new_pipeline(month.dtypes), encoded(frame, month.dtypes), labels, cv=folds, method="predict_proba"
        )
        from_earlier = ChurnModel.fitted(earlier).probabilities(frame) if earlier.rows.num_rows else None
        yield MonthScore(
            as_of=as_of,
            rows=month.rows.num_rows,
            label_rate=float(labels.mean()),
            auc_within=float(roc_auc_score(labels, within[:, 1])),
            auc_from_earlier=None if from_earlier is None else float(roc_auc_score(labels, from_earlier)),
        )


def score(model: ChurnModel, training_set: TrainingSet, user_ids: Sequence[str], *, gateway: str) -> dict[str, float]:
    """Return users' probabilities of churn from their served features.

    Raises ScoringError unless each is exactly that of the user's newest training row, or when the gateway can't be
    asked.
    """
    users = list(dict.fromkeys(user_ids))
    newest = training_set.newest_month
    rows = {row["user_id"]: row for row in newest.of(pc.field("user_id").isin(users)).rows.to_pylist()}
    if without := [user_id for user_id in users if user_id not in rows]:
        raise ScoringError(f"{without[0]} has no row of {newest.months[-1]} in the training set")
    try:
        with FeatureClient(gateway, timeout_s=5.0) as client:
            batch = client.get_users_features(
                users, feature_service=model.feature_service, contract_hash=model.contract_hash
            )
        served = batch.to_pandas()
    except FeatureServingError as error:
        raise ScoringError(f"the users can't be scored: {error}") from error
    by_training = model.probabilities(pd.DataFrame([rows[user_id] for user_id in users]))
    scores = dict(zip(users, model.probabilities(served), strict=True))
    values = batch.to_dict()
    for position, (user_id, trained) in enumerate(zip(users, by_training, strict=True)):
        if (by_serving := scores[user_id]) != trained:
            pairs = {name: (rows[user_id][name], values[name][position]) for name in model.dtypes}
            different = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
            raise ScoringError(
                f"{user_id} is scored {trained} by the training row and {by_serving} by the served one; "
                f"these features differ: {different}"
            )
    return scores


def main() -> None:
    """Print each month's evaluation and the users' scores."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--user", action="append", help="may be repeated; by default the first of the newest month")
    parser.add_argument("--gateway", default="127.0.0.1:50051")
    parser.add_argument("--save", type=Path, help="the file that the model is written to, for the other examples")
    arguments = parser.parse_args()
    training_set = TrainingSet.read(arguments.dataset)
    print("as_of         rows  label rate  AUC within  AUC from earlier months")
    for month in evaluate(training_set):
        earlier = "-" if month.auc_from_earlier is None else f"{month.auc_from_earlier:.3f}"
        print(f"{month.as_of}  {month.rows:6,}  {month.label_rate:10.4f}  {month.auc_within:10.3f}  {earlier:>23}")
    users = arguments.user or [training_set.newest_month.rows.column("user_id")[0].as_py()]
    model = ChurnModel.fitted(training_set)
    try:
        scores = score(model, training_set, users, gateway=arguments.gateway)
    except ScoringError as error:
        sys.exit(f"error: {error}")
    for user_id, probability in scores.items():
        print(f"{user_id}  {probability:.6f}, by the training row and by the served one")
    if arguments.save is not None:
        model.save(arguments.save)


if __name__ == "__main__":
    main()
