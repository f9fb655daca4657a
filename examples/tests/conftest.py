"""The fixtures of this folder's tests."""

from client_fixtures import feature_server, gateway, settings
from language_fixtures import built_caller

__all__ = ["built_caller", "feature_server", "gateway", "settings"]
