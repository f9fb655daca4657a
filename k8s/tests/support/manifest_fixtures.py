"""The manifests under test."""

from pathlib import Path

import pytest
from manifests import COMBINATIONS, OPTIONAL, OVERLAYS, Combination, Copy, Manifests


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[Combination, Manifests]:
    """Every overlay with every choice of components."""
    copy = Copy(tmp_path_factory.mktemp("manifests") / "copy")
    return {combination: copy.build(*combination) for combination in COMBINATIONS}


@pytest.fixture(params=[(overlay, chosen) for overlay in OVERLAYS for chosen in ((), OPTIONAL)], ids=str)
def manifests(request: pytest.FixtureRequest, built: dict[Combination, Manifests]) -> Manifests:
    """Each overlay without components but its stores, and with all of them: together, everything there is."""
    return built[request.param]


@pytest.fixture(params=OVERLAYS)
def whole(request: pytest.FixtureRequest, built: dict[Combination, Manifests]) -> Manifests:
    """An overlay with all components."""
    return built[request.param, OPTIONAL]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")
