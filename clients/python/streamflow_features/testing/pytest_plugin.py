"""A fixture for pytest: `pytest_plugins = ["streamflow_features.testing.pytest_plugin"]` in the top-level conftest.py.

The package does not register the plugin by itself: it would import gRPC at the start of every run of pytest wherever
the client is installed.
"""

from collections.abc import Iterator

import pytest

from streamflow_features.testing import FeatureServer, ServedOptions


@pytest.fixture
def feature_server_options() -> ServedOptions:
    """Return the options of `feature_server`: none. Tests and conftest.py files replace this fixture."""
    return {}


@pytest.fixture
def feature_server(feature_server_options: ServedOptions) -> Iterator[FeatureServer]:
    """Yield a running FeatureServer without users."""
    with FeatureServer(**feature_server_options) as server:
        yield server
