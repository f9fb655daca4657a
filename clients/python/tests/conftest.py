"""The fixtures of this folder's tests."""

from client_fixtures import feature_server, gateway, settings

__all__ = ["feature_server", "gateway", "settings"]
