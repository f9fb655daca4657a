"""The manifests under test."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from manifests import COMBINATIONS, K8S, OPTIONAL, OVERLAYS, Combination, Copy, Manifests, build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[Combination, Manifests]:
    """Every overlay with each pair of components and with all, each built once in a test run."""
    copy = Copy(tmp_path_factory.mktemp("manifests") / "copy")
    with ThreadPoolExecutor() as pool:
        return dict(zip(COMBINATIONS, pool.map(lambda chosen: copy.build(*chosen), COMBINATIONS), strict=True))


@pytest.fixture(params=[(overlay, chosen) for overlay in OVERLAYS for chosen in ((), OPTIONAL)], ids=str)
def manifests(request: pytest.FixtureRequest, built: dict[Combination, Manifests]) -> Manifests:
    """Each overlay, once with its stores only and once with all components. Together they contain every document."""
    return built[request.param]


@pytest.fixture(params=OVERLAYS)
def whole(request: pytest.FixtureRequest, built: dict[Combination, Manifests]) -> Manifests:
    """An overlay with all components."""
    return built[request.param, OPTIONAL]


@pytest.fixture(scope="session")
def kept() -> Manifests:
    """What outlives the workload."""
    return build(K8S / "namespace")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")
