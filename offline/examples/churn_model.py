"""Close the loop: train on a training set, evaluate by month, and score users through the gateway.

    python offline/examples/churn_model.py DATASET [--user ID] [--gateway HOST:PORT]

DATASET is a Parquet dataset of `offline training-set`. Names, order and types of the features come from its manifest,
which has them from the contract; the gateway is asked to answer by that contract alone.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from streamflow_features import FeatureClient, FeatureServingError, UserFeatures

_SEED = 0
_FOLDS = 5
_NUMBERS = {"Bool", "Int32", "Int64", "Float32", "Float64"}
_DAY = pyarrow.dataset.partitioning(pa.schema([("as_of", pa.date32())]), flavor="hive")


class ScoringError(Exception):
    """A user can't be scored, or is scored differently by what is served than by what was trained on."""


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """A training set as it was written."""

    rows: pa.Table
    feature_service: str
    contract_hash: str
    label: str

    dtypes: Mapping[str, str]
    """Each feature's type, in the order of the contract."""

    @classmethod
    def read(cls, dataset: Path) -> "TrainingSet":
        """Return the Parquet dataset in a folder. Raises OSError and ValueError."""
        manifest = json.loads((dataset / "_manifest.json").read_text(encoding="utf-8"))
        dtypes = {name: found["dtype"] for name, found in manifest["features"].items()}
        other = [f"{name} ({dtype})" for name, dtype in dtypes.items() if dtype not in {*_NUMBERS, "String"}]
        if other or not manifest["label"]:
            raise ValueError(f"this model needs a label, and can't read {', '.join(other) or 'rows without'}")
        return cls(
            rows=pyarrow.dataset.dataset(dataset, format="parquet", partitioning=_DAY).to_table(),
            feature_service=manifest["feature_service"],
            contract_hash=manifest["contract_hash"],
            label=manifest["label"],
            dtypes=dtypes,
        )

    @property
    def schema(self) -> pa.Schema:
        """The features' types in Arrow, in the order of the contract."""
        return pa.schema([self.rows.schema.field(name) for name in self.dtypes])

    @property
    def months(self) -> list[date]:
        """The days of its rows, oldest first."""
        return sorted(pc.unique(self.rows.column("as_of")).to_pylist())

    @property
    def newest_month(self) -> "TrainingSet":
        """The training set of its newest month."""
        return self.of(pc.field("as_of") == self.months[-1])

    def of(self, condition: pc.Expression) -> "TrainingSet":
        """Return the training set of those rows that meet a condition."""
        return replace(self, rows=self.rows.filter(condition))


def encoded(rows: pa.Table, dtypes: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a model reads them, whether they were trained on or served.

    A String stays text, which the model makes a column of for each value that it was trained on; all else is a number,
    NULL is NaN, which the forest's trees decide on as on any value.
    """
    columns = {
        name: rows.column(name) if dtype == "String" else rows.column(name).cast(pa.float64())
        for name, dtype in dtypes.items()
    }
    return pd.DataFrame({name: column.to_pandas() for name, column in columns.items()})


def new_model(dtypes: Mapping[str, str]) -> Pipeline:
    """Return a model to be fitted: it knows its features' names, and refuses others and another order."""
    texts = [name for name, dtype in dtypes.items() if dtype == "String"]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return Pipeline(
        [
            ("encode", ColumnTransformer([("texts", encoder, texts)], remainder="passthrough")),
            # One job: threads would add up the trees' votes in any order, and so to other last digits each time.
            ("forest", RandomForestClassifier(n_estimators=100, min_samples_leaf=5, n_jobs=1, random_state=_SEED)),
        ]
    )


def fitted(training_set: TrainingSet) -> Pipeline:
    """Return a model that was trained on all labelled rows of a training set."""
    labelled = training_set.of(pc.field(training_set.label).is_valid())
    return new_model(labelled.dtypes).fit(encoded(labelled.rows, labelled.dtypes), _labels(labelled))


def predictions(model: Pipeline, rows: pa.Table, dtypes: Mapping[str, str]) -> list[float]:
    """Return each row's probability of churn."""
    return [float(probability) for probability in model.predict_proba(encoded(rows, dtypes))[:, 1]]


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
    labelled = training_set.of(pc.field(training_set.label).is_valid())
    for as_of in labelled.months:
        month = labelled.of(pc.field("as_of") == as_of)
        earlier = labelled.of(pc.field("as_of") < as_of)
        labels = _labels(month)
        folds = StratifiedKFold(n_splits=_FOLDS, shuffle=True, random_state=_SEED)
        within = cross_val_predict(
            new_model(month.dtypes), encoded(month.rows, month.dtypes), labels, cv=folds, method="predict_proba"
        )
        from_earlier = predictions(fitted(earlier), month.rows, month.dtypes) if earlier.rows.num_rows else None
        yield MonthScore(
            as_of=as_of,
            rows=month.rows.num_rows,
            label_rate=float(labels.mean()),
            auc_within=float(roc_auc_score(labels, within[:, 1])),
            auc_from_earlier=None if from_earlier is None else float(roc_auc_score(labels, from_earlier)),
        )


def score(model: Pipeline, training_set: TrainingSet, user_ids: Sequence[str], *, gateway: str) -> dict[str, float]:
    """Return users' probabilities of churn from their served features.

    Raises ScoringError unless each is exactly that of the user's newest training row, or when the gateway can't be
    asked.
    """
    newest = training_set.newest_month
    scores = {}
    with FeatureClient(gateway, timeout_s=5.0) as client:
        for user_id in user_ids:
            trained = newest.of(pc.field("user_id") == user_id).rows.select(list(newest.dtypes))
            if not trained.num_rows:
                raise ScoringError(f"{user_id} has no row of {newest.months[-1]} in the training set")
            try:
                answer = client.get_user_features(
                    user_id, feature_service=newest.feature_service, contract_hash=newest.contract_hash
                )
            except FeatureServingError as error:
                raise ScoringError(f"{user_id} can't be scored: {error}") from error
            scores[user_id] = _same_score(model, newest, trained, answer)
    return scores


def _same_score(model: Pipeline, training_set: TrainingSet, trained: pa.Table, answer: UserFeatures) -> float:
    if list(answer) != list(training_set.dtypes):
        raise ScoringError(f"the gateway serves {list(answer)}, the model reads {list(training_set.dtypes)}")
    served = pa.Table.from_pylist([dict(answer)], schema=training_set.schema)
    [by_training], [by_serving] = (predictions(model, rows, training_set.dtypes) for rows in (trained, served))
    if by_training != by_serving:
        [row] = trained.to_pylist()
        different = {name: (row[name], answer[name]) for name in row if row[name] != answer[name]}
        raise ScoringError(
            f"{answer.user_id} is scored {by_training} by the training row and {by_serving} by the served one; "
            f"these features differ: {different}"
        )
    return by_serving


def main() -> None:
    """Print each month's evaluation and the users' scores."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--user", action="append", help="may be repeated; by default the first of the newest month")
    parser.add_argument("--gateway", default="127.0.0.1:50051")
    arguments = parser.parse_args()
    training_set = TrainingSet.read(arguments.dataset)
    print("as_of         rows  label rate  AUC within  AUC from earlier months")
    for month in evaluate(training_set):
        earlier = "-" if month.auc_from_earlier is None else f"{month.auc_from_earlier:.3f}"
        print(f"{month.as_of}  {month.rows:6,}  {month.label_rate:10.4f}  {month.auc_within:10.3f}  {earlier:>23}")
    newest = training_set.newest_month
    users = arguments.user or [newest.rows.column("user_id")[0].as_py()]
    try:
        scores = score(fitted(training_set), training_set, users, gateway=arguments.gateway)
    except ScoringError as error:
        sys.exit(f"error: {error}")
    for user_id, probability in scores.items():
        print(f"{user_id}  {probability:.6f}, by the training row and by the served one")


def _labels(training_set: TrainingSet) -> Any:
    return training_set.rows.column(training_set.label).cast(pa.float64()).to_numpy()


if __name__ == "__main__":
    main()
