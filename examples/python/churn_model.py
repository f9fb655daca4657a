"""A model of churn: fitted to a training set, saved with what it asks a gateway for, and given what is served."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Self

import joblib
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

SEED = 0
_NUMBERS = {"Bool", "Int32", "Int64", "Float32", "Float64"}
_DAY = pyarrow.dataset.partitioning(pa.schema([("as_of", pa.date32())]), flavor="hive")


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """A training set as `offline training-set` wrote it."""

    rows: pa.Table
    feature_service: str
    contract_hash: str
    label: str

    dtypes: Mapping[str, str]
    """Each feature's type, in the order of the contract."""

    @classmethod
    def read(cls, dataset: Path) -> Self:
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
    def months(self) -> list[date]:
        """The days of its rows, oldest first."""
        return sorted(pc.unique(self.rows.column("as_of")).to_pylist())

    @property
    def newest_month(self) -> "TrainingSet":
        """The training set of its newest month."""
        return self.of(pc.field("as_of") == self.months[-1])

    @property
    def labelled(self) -> "TrainingSet":
        """The training set of the rows whose label is known."""
        return self.of(pc.field(self.label).is_valid())

    @property
    def labels(self) -> Any:
        """The label of each row, as an array of NumPy: 1.0 for a user who left."""
        return self.rows.column(self.label).cast(pa.float64()).to_numpy()

    def of(self, condition: pc.Expression) -> "TrainingSet":
        """Return the training set of those rows that meet a condition."""
        return replace(self, rows=self.rows.filter(condition))


@dataclass(frozen=True, kw_only=True)
class ChurnModel:
    """A fitted model, and the features that it reads."""

    pipeline: Pipeline
    feature_service: str

    contract_hash: str
    """The contract that its training set was built by."""

    dtypes: Mapping[str, str]
    """Each feature's type, in the order of the contract."""

    @classmethod
    def fitted(cls, training_set: TrainingSet) -> Self:
        """Return a model that was fitted to all labelled rows of a training set."""
        labelled = training_set.labelled
        frame = encoded(labelled.rows.to_pandas(), labelled.dtypes)
        return cls(
            pipeline=new_pipeline(labelled.dtypes).fit(frame, labelled.labels),
            feature_service=labelled.feature_service,
            contract_hash=labelled.contract_hash,
            dtypes=labelled.dtypes,
        )

    @classmethod
    def load(cls, file: Path) -> Self:
        """Return a model that `save` wrote. Load only files that you trust: a file can run any code. Raises OSError."""
        return cls(**joblib.load(file))

    def save(self, file: Path) -> None:
        """Write the model to a file."""
        joblib.dump(vars(self), file)

    def probabilities(self, features: pd.DataFrame) -> list[float]:
        """Return each row's probability of churn. A data frame of training rows and one of served features will do."""
        return [float(probability) for probability in self.pipeline.predict_proba(encoded(features, self.dtypes))[:, 1]]


def encoded(features: pd.DataFrame, dtypes: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a model reads them, whether they were trained on or served.

    A String stays text, which the model makes a column of for each value that it was trained on. All else is a number,
    and a missing value NaN, which the forest's trees decide on as on any value.
    """
    return pd.DataFrame(
        {
            name: [None if pd.isna(text) else text for text in features[name]]
            if dtype == "String"
            else features[name].astype("float64").to_numpy()
            for name, dtype in dtypes.items()
        }
    )


def new_pipeline(dtypes: Mapping[str, str]) -> Pipeline:
    """Return a model to be fitted: it knows its features' names, and refuses others and another order."""
    texts = [name for name, dtype in dtypes.items() if dtype == "String"]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return Pipeline(
        [
            ("encode", ColumnTransformer([("texts", encoder, texts)], remainder="passthrough")),
            # One job: threads would add up the trees' votes in any order, and so to other last digits each time.
            ("forest", RandomForestClassifier(n_estimators=100, min_samples_leaf=5, n_jobs=1, random_state=SEED)),
        ]
    )
