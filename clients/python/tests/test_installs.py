"""`pip install` of wheels and sdists into empty environments, beside the oldest and the newest gRPC."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[3]
_UV = _CHECKOUT / ".local" / "tools" / "bin" / "uv"
_OLDEST = ("grpcio==1.76.0", "grpcio-status==1.76.0", "protobuf==6.31.1")
_OURS = ("streamflow-features", "streamflow-features-protos")

_PROGRAM = """\
import asyncio, json
from importlib.metadata import distribution, files
from streamflow_features import ErrorReason, Question, ResourceExhausted
from streamflow_features.testing import FakeAsyncFeatureClient, FakeFeatureClient

busy = ResourceExhausted("busy", reason=ErrorReason.OVERLOADED, retry_after_s=0.5)
users = {"a": {"fee": 29.85, "tags": ["x"]}, "b": busy}
with FakeFeatureClient(users) as client:
    assert dict(client.get_user_features("a")) == {"fee": 29.85, "tags": ("x",)}
    assert client.get_users_features(["a", "b"]).errors == {"b": busy}
    assert [answer.result["fee"] for answer in client.stream_user_features([Question("a")])] == [29.85]
    assert client.get_online_features(["v:fee"], [{"user_id": "a"}]).to_dict() == {"user_id": ["a"], "fee": [29.85]}

async def main():
    async with FakeAsyncFeatureClient(users) as client:
        results = await asyncio.gather(*(client.get_user_features("a") for _ in range(50)))
        assert [result["fee"] for result in results] == [29.85] * 50

asyncio.run(main())
ours = ("streamflow-features", "streamflow-features-protos")
tops = {path.parts[0] for name in ours for path in files(name) if ".dist-info" not in path.parts[0]}
licences = [[path.name for path in files(name) if path.name == "LICENSE"] for name in ours]
versions = {name: distribution(name).version for name in ("grpcio", "protobuf")}
print(json.dumps({"tops": sorted(tops - {".."}), "licences": licences, "versions": versions}))
"""


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    words = list(map(str, command))
    result = subprocess.run(words, cwd=cwd, check=False, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of each package."""
    if not _UV.exists():
        pytest.fail("uv is not installed in .local/tools; run the tests with make test-slow")
    folder = tmp_path_factory.mktemp("built")
    for package in _OURS:
        # The wheel is built from the sdist, which so proves to hold all that a wheel needs.
        _run(_UV, "build", "--quiet", "--package", package, "--out-dir", folder, cwd=_CHECKOUT)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "beside"),
    [("*.whl", _OLDEST), ("*.whl", ()), ("*.tar.gz", ())],
    ids=["wheels beside the oldest", "wheels beside the newest", "sdists beside the newest"],
)
def test_an_empty_environment_gets_all_that_calls_need_and_nothing_else_of_ours(
    built: Path, tmp_path: Path, kind: str, beside: tuple[str, ...]
) -> None:
    _run(sys.executable, "-m", "venv", tmp_path / "empty")
    python = tmp_path / "empty" / "bin" / "python"
    packages = sorted(map(str, built.glob(kind)))
    assert len(packages) == len(_OURS)
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages, *beside)
    _run(python, "-m", "pip", "check")
    found = json.loads(_run(python, "-W", "error", "-c", _PROGRAM, cwd=tmp_path))
    assert found["tops"] == ["streamflow", "streamflow_features"]
    assert found["licences"] == [["LICENSE"], ["LICENSE"]]
    if beside:
        assert found["versions"] == {"grpcio": "1.76.0", "protobuf": "6.31.1"}
    else:
        # The lock is as new as its last update.
        locked, installed = (
            tuple(map(int, one.split("."))) for one in (version("grpcio"), found["versions"]["grpcio"])
        )
        assert installed >= locked


def test_the_packages_have_the_licence_of_the_checkout() -> None:
    text = (_CHECKOUT / "LICENSE").read_text(encoding="utf-8")
    for folder in ("clients/python", "protos"):
        assert (_CHECKOUT / folder / "LICENSE").read_text(encoding="utf-8") == text
