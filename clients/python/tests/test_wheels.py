"""What a model service installs: the wheels of client and protos, whose types hold under mypy's strict rules."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[3]
_TYPED = _CHECKOUT / "examples" / "python" / "streamflow_services.py"
_UV = _CHECKOUT / ".local" / "tools" / "bin" / "uv"

_CALLER = """\
from collections.abc import Iterator
from typing import assert_type

from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.feature_pb2 import FeatureStatus as FeatureStatusCode
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, GetUserFeaturesResponse
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub
from streamflow_features import (
    KEPT,
    AsyncFeatureClient,
    FeatureClient,
    FeatureServingError,
    FeatureStatus,
    UserFeatures,
    UserFeaturesBatch,
    Value,
)
from streamflow_services import ChurnV1, SessionV1


def call(client: FeatureClient) -> None:
    features = client.get_user_features("3413-BMNZE", feature_service="churn_v1", timeout_s=0.5)
    assert_type(features, UserFeatures)
    assert_type(features["monthly_fee"], Value)
    assert_type(features.statuses["monthly_fee"], FeatureStatus)
    assert_type(features.stale_age_s, float | None)
    results = client.batch_get_user_features(["3413-BMNZE"], max_age_s=60.0)
    assert_type(results, UserFeaturesBatch)
    assert_type(iter(results), Iterator[UserFeatures | FeatureServingError])
    many = client.get_users_features(["3413-BMNZE"], retries=2, progress=print, feature_service="churn_v1")
    assert_type(many.ok, UserFeaturesBatch)
    assert_type(many.errors["3413-BMNZE"], FeatureServingError)
    many.to_pandas(null=0, not_found={"monthly_fee": 0.0}, too_old=KEPT)


def get(client: FeatureClient) -> None:
    churn = client.get(ChurnV1, "3413-BMNZE", max_age_s=60.0)
    assert_type(churn, ChurnV1)
    assert_type(churn.months_active, int | None)
    assert_type(churn.features.statuses["months_active"], FeatureStatus)
    assert_type(client.get(SessionV1.given(session_mins=42.5), "3413-BMNZE").session_over_avg_7d, float | None)
    for result in client.get_users_features(["3413-BMNZE"]):
        assert_type(ChurnV1.of(result), ChurnV1)


async def call_async(client: AsyncFeatureClient) -> None:
    assert_type(await client.get_user_features("3413-BMNZE"), UserFeatures)
    assert_type(await client.get(ChurnV1, "3413-BMNZE"), ChurnV1)


def read(message: GetUserFeaturesResponse) -> None:
    assert_type(message.user_features.user_id, str)
    assert_type(message.user_features.features[0].status, FeatureStatusCode.ValueType)
    assert_type(ErrorReason.Value("ERROR_REASON_OVERLOADED"), ErrorReason.ValueType)


def ask(stub: UserFeatureServiceStub) -> None:
    assert_type(stub.GetUserFeatures(GetUserFeaturesRequest(user_id="3413-BMNZE")), GetUserFeaturesResponse)
"""
_WRONG_CALLER = """\
from streamflow.features.v1.feature_pb2 import UserFeatures
from streamflow_features import FeatureClient
from streamflow_services import ChurnV1, SessionV1

FeatureClient(50051)
FeatureClient().get_user_features("3413-BMNZE", feature_sevice="churn_v1")
UserFeatures(user_id=3413)
FeatureClient().get(ChurnV1, "3413-BMNZE").month_active
FeatureClient().get(ChurnV1, "3413-BMNZE").months_active + 1
SessionV1.given()
SessionV1.given(session_mins="long")
FeatureClient().get(SessionV1, "3413-BMNZE")
"""


def _uv(*arguments: str) -> None:
    if not _UV.exists():
        pytest.fail("uv is not installed in .local/tools; run the tests with make test")
    result = subprocess.run(
        [str(_UV), *arguments], cwd=_CHECKOUT, check=False, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the two wheels, their dependencies and the stubs of those, by the lock."""
    folder = tmp_path_factory.mktemp("wheels")
    requirements, wheels, environment = folder / "requirements.txt", folder / "dist", folder / "environment"
    for package in ("streamflow-features-protos", "streamflow-features"):
        _uv("build", "--quiet", "--wheel", "--package", package, "--out-dir", str(wheels))
    _uv(
        *("export", "--quiet", "--frozen", "--no-dev", "--no-emit-workspace", "--no-hashes"),
        *("--package", "streamflow-features", "--output-file", str(requirements)),
    )
    _uv("venv", "--quiet", "--python", sys.executable, str(environment))
    python = environment / "bin" / "python"
    built = sorted(str(wheel) for wheel in wheels.glob("*.whl"))
    assert len(built) == 2
    # protobuf and grpcio ship no types of their own.
    stubs = [f"{name}=={version(name)}" for name in ("types-protobuf", "types-grpcio", "types-grpcio-status")]
    _uv("pip", "install", "--quiet", "--python", str(python), "--requirement", str(requirements), *built, *stubs)
    return python


def _type_check(python: Path, folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    (folder / "caller.py").write_text(program, encoding="utf-8")
    shutil.copy(_TYPED, folder)
    options = ["--strict", "--config-file=", f"--python-executable={python}", f"--cache-dir={python.parent / 'mypy'}"]
    command = [sys.executable, "-m", "mypy", *options, "caller.py"]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=240)


def test_a_caller_of_the_installed_client_passes_strict_type_checks(installed: Path, tmp_path: Path) -> None:
    result = _type_check(installed, tmp_path, _CALLER)
    assert result.returncode == 0, result.stdout


def test_wrong_calls_of_the_installed_client_are_type_errors(installed: Path, tmp_path: Path) -> None:
    result = _type_check(installed, tmp_path, _WRONG_CALLER)
    errors = [
        line.split(":")[1] + line.rpartition(" ")[2] for line in result.stdout.splitlines() if ": error: " in line
    ]
    assert errors == [
        *("5[arg-type]", "6[call-arg]", "7[arg-type]"),
        *("8[attr-defined]", "9[operator]", "10[call-arg]", "11[arg-type]", "12[arg-type]"),
    ]


def test_the_installed_client_imports_without_warnings(installed: Path, tmp_path: Path) -> None:
    program = "import streamflow_features, sys; print(sys.modules['streamflow'].__path__[0])"
    command = [str(installed), "-W", "error", "-c", program]
    result = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(installed.parents[1]))


def test_a_table_without_its_extra_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    for method, extra in (("to_pandas", "pandas"), ("to_numpy", "numpy"), ("to_arrow", "arrow")):
        program = f"from streamflow_features import UserFeaturesBatch; UserFeaturesBatch([], []).{method}()"
        command = [str(installed), "-c", program]
        result = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
        assert f"pip install 'streamflow-features[{extra}]'" in result.stderr


def test_the_installed_command_writes_the_module_of_a_contract(installed: Path, tmp_path: Path) -> None:
    command = [str(installed.parent / "streamflow-features"), "codegen", str(_CHECKOUT / "feature_repo/contract.json")]
    result = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == _TYPED.read_text(encoding="utf-8")
