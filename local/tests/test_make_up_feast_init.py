"""README: `make up FEATURE_REPO=DIR`, on the repository that `feast init` makes."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesRequest
from feast.protos.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from stack_under_test import BIN, CHECKOUT, Stack, stack_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_TIMEOUT_S = 400


@dataclass(frozen=True)
class Made:
    """A stack that make started, and what make printed."""

    stack: Stack
    printed: str


def _run(*command: str, folder: Path, environment: dict[str, str]) -> str:
    result = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def made(state_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("init")
    _run(str(BIN / "feast"), "init", "shop", folder=folder, environment={**os.environ})
    environment = {**stack_environment(state_dir / "feast-init"), "FEATURE_SERVER_REPLICAS": "1"}
    stack = Stack(environment, folder)
    make_up = ("make", "up", f"FEATURE_REPO={folder}/shop/feature_repo")
    try:
        yield Made(stack, _run(*make_up, folder=CHECKOUT, environment=environment))
    finally:
        _run("make", "down", folder=CHECKOUT, environment=environment)


def test_make_up_ends_with_an_answered_call_of_the_repository(made: Made) -> None:
    _, _, answered = made.printed.partition("GetOnlineFeatures(")
    assert "driver_id" in answered
    assert "  PRESENT  " in answered
    assert f"{made.stack.gateway}  feast.serving.ServingService" in answered


def test_feasts_stubs_get_stored_and_computed_features_of_a_driver(made: Made) -> None:
    request = GetOnlineFeaturesRequest(feature_service="driver_activity_v1")
    for name, number in (("driver_id", 1001), ("val_to_add", 1000), ("val_to_add_2", 2000)):
        request.entities[name].CopyFrom(RepeatedValue(val=[Value(int64_val=number)]))
    with grpc.insecure_channel(made.stack.gateway) as channel:
        answer = ServingServiceStub(channel).GetOnlineFeatures(request, timeout=20)  # type: ignore[no-untyped-call]
    values = dict(zip(answer.metadata.feature_names.val, (one.values[0] for one in answer.results), strict=True))
    rate = values["conv_rate"].float_val
    assert values["conv_rate_plus_val1"].double_val == pytest.approx(1000 + rate)
    assert values["conv_rate_plus_val2"].double_val == pytest.approx(2000 + rate)
    assert {one.statuses[0] for one in answer.results} == {FieldStatus.PRESENT}
