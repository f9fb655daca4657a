"""The fixtures of this folder's tests."""

from client_fixtures import feature_server, gateway, settings
from example_fixtures import model_file

__all__ = ["feature_server", "gateway", "model_file", "settings"]
