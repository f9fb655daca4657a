"""The packages of each image build from what its Dockerfile copies, at the places where it copies them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dockerfile import IMAGES, stages
from stack_under_test import CHECKOUT

_UV = CHECKOUT / ".local/tools/bin/uv"
_IGNORED = shutil.ignore_patterns("__pycache__", "tests", "*.md", "Dockerfile", ".venv", ".local")


def _copy(text: str, root: Path) -> None:
    """Do what a COPY of the build context does, with `root` as the image's root and /build as its folder."""
    *sources, target = text.split()
    folder = root / "build" / target if not target.startswith("/") else root / target[1:]
    for name in sources:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder, ignore=_IGNORED, dirs_exist_ok=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder)


@pytest.mark.parametrize("path", IMAGES.values(), ids=IMAGES)
def test_the_packages_of_an_image_install_where_they_are_copied_to(path: Path, tmp_path: Path) -> None:
    build, _ = stages(path)
    for text in build.all("COPY"):
        _copy(text, tmp_path)
    installs = [found[1] for run in build.all("RUN") if (found := re.search(r"uv pip install (--no-deps [^&]*)", run))]
    assert len(installs) == 1
    words = [f"{tmp_path}{word}" if word.startswith("/app") else word for word in installs[0].split()]
    result = subprocess.run(
        [_UV, "pip", "install", "--quiet", "--target", tmp_path / "site", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path / "build",
    )
    assert result.returncode == 0, result.stderr
    expected = sum(not word.startswith("-") for word in words)
    assert len(list((tmp_path / "site").glob("*.dist-info"))) == expected
