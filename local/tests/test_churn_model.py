"""The example's model, trained on a training set of the stack, scores users that the gateway serves."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from churn_model import ChurnModel, TrainingSet
from stack_under_test import CANARY, CHECKOUT, Stack
from train_churn import ScoringError, evaluate, score

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def training_set(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    dataset = tmp_path_factory.mktemp("model") / "training_set"
    stack.offline("training-set", "--out", str(dataset))
    return TrainingSet.read(dataset)


@pytest.fixture(scope="module")
def model(training_set: TrainingSet) -> ChurnModel:
    return ChurnModel.fitted(training_set)


def test_a_served_row_is_scored_exactly_as_the_users_training_row(
    stack: Stack, training_set: TrainingSet, model: ChurnModel
) -> None:
    newest = training_set.newest_month
    without_plan = newest.of(pc.field("plan_stream_tv").is_null()).rows.column("user_id").to_pylist()[:20]
    users = [CANARY, *without_plan, *newest.rows.column("user_id").to_pylist()[:20]]
    scores = score(model, training_set, users, gateway=stack.gateway)
    assert len(without_plan) == 20
    assert list(scores) == list(dict.fromkeys(users))
    assert len(set(scores.values())) > 10


def test_a_training_row_that_is_scored_otherwise_is_told_with_the_features_that_differ(
    stack: Stack, training_set: TrainingSet, model: ChurnModel
) -> None:
    column = training_set.rows.schema.get_field_index("rebuffer_events_7d")
    other = pa.array([100] * training_set.rows.num_rows, pa.int64())
    changed = replace(training_set, rows=training_set.rows.set_column(column, "rebuffer_events_7d", other))
    with pytest.raises(ScoringError, match=rf"{CANARY} is scored .* differ: {{'rebuffer_events_7d': \(100, \d+\)}}"):
        score(model, changed, [CANARY], gateway=stack.gateway)


def test_a_gateway_of_another_contract_is_not_asked(stack: Stack, training_set: TrainingSet, model: ChurnModel) -> None:
    with pytest.raises(ScoringError, match="contract"):
        score(replace(model, contract_hash="sha256:0"), training_set, [CANARY], gateway=stack.gateway)


def test_januarys_features_predict_januarys_labels(stack: Stack, training_set: TrainingSet) -> None:
    if stack.months != CHECKOUT.parent / "shared" / "streamflow":
        pytest.skip("the figures are those of the real months, which are not beside the checkout")
    january = next(evaluate(training_set))
    assert training_set.rows.num_rows == 14_086
    assert january.rows == 7043
    assert january.label_rate == pytest.approx(0.2654, abs=5e-5)
    assert january.auc_within > 0.80
