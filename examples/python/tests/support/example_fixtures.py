"""A model of the features of the gateway that the tests run."""

from pathlib import Path

import pyarrow as pa
import pytest
from churn_model import ChurnModel, TrainingSet
from gateway_fakes import contract_content, with_hash

USERS = 200


def small_training_set() -> TrainingSet:
    """The newest customers leave, and those whose plan is known stay."""
    months = [number % 40 for number in range(USERS)]
    rows = pa.table(
        {
            "user_id": [f"{number:04d}-AAAAA" for number in range(USERS)],
            "months_active": months,
            "monthly_fee": [20.0 + number % 7 for number in range(USERS)],
            "plan_stream_tv": [None if month < 10 else True for month in months],
            "net_service": ["DSL" if number % 3 else None for number in range(USERS)],
            "churned": [month < 10 for month in months],
        }
    )
    content = contract_content()
    [service] = [each for each in content["feature_services"] if each["name"] == "churn_v1"]
    return TrainingSet(
        rows=rows,
        feature_service="churn_v1",
        contract_hash=with_hash(content)["hash"],
        label="churned",
        dtypes={feature["name"]: feature["dtype"] for feature in service["features"]},
    )


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("model") / "model.joblib"
    ChurnModel.fitted(small_training_set()).save(file)
    return file
