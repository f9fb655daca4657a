"""The API is documented and compatible, and its generated code imports under the oldest runtimes promised."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_PROTOS = Path(__file__).resolve().parents[1]
_BUF = Path(sys.executable).parent / "buf"
_UV = _PROTOS.parent / ".local" / "tools" / "bin" / "uv"


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A copy of the protos to break."""
    return shutil.copytree(_PROTOS, tmp_path / "protos", ignore=shutil.ignore_patterns("gen", "__pycache__"))


def _edit(protos: Path, file: str, old: str, new: str) -> None:
    path = protos / "streamflow/features/v1" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(_BUF), *arguments], check=False, capture_output=True, text=True, timeout=60)


def test_a_removed_field_is_rejected(edited: Path) -> None:
    _edit(edited, "feature.proto", "  bool user_known = 3;\n", "")
    result = _buf("breaking", str(edited), "--against", str(_PROTOS))
    assert result.returncode != 0
    assert 'field "3" with name "user_known"' in result.stdout


def test_a_field_of_another_type_is_rejected(edited: Path) -> None:
    _edit(edited, "feature.proto", "double double_value = 8", "float double_value = 8")
    assert _buf("breaking", str(edited), "--against", str(_PROTOS)).returncode != 0


def test_an_element_without_a_comment_is_rejected(edited: Path) -> None:
    _edit(edited, "feature.proto", "    // A Bool feature.\n", "")
    result = _buf("lint", str(edited))
    assert result.returncode != 0
    assert "bool_value" in result.stdout


def test_an_added_field_is_accepted(edited: Path) -> None:
    _edit(
        edited,
        "feature.proto",
        "  bool user_known = 3;\n",
        "  bool user_known = 3;\n  // Something new.\n  string something_new = 4;\n",
    )
    assert _buf("breaking", str(edited), "--against", str(_PROTOS)).returncode == 0


@pytest.mark.parametrize(
    ("grpcio", "protobuf"),
    [("1.76.0", "6.31.1"), ("1.85.1", "7.36.2")],
)
def test_the_generated_code_imports_under_old_and_new_runtimes(grpcio: str, protobuf: str) -> None:
    if not _UV.exists():
        pytest.fail("uv is not installed in .local/tools; run the tests with make test")
    program = (
        "from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest as R\n"
        "import streamflow.features.v1.user_feature_service_pb2_grpc\n"
        "assert R.FromString(R(user_id='x').SerializeToString()).user_id == 'x'\n"
    )
    requirements = [
        f"--with={requirement}"
        for requirement in (f"grpcio=={grpcio}", f"protobuf=={protobuf}", "googleapis-common-protos")
    ]
    command = [str(_UV), "run", "--quiet", "--isolated", "--no-project", *requirements]
    result = subprocess.run(
        [*command, "python", "-W", "error", "-c", program],
        cwd=_PROTOS / "gen",
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
