"""The fixtures of this folder's tests."""

from client_fixtures import feature_server, gateway, settings
from request_data_fakes import drivers

__all__ = ["drivers", "feature_server", "gateway", "settings"]
