"""The fixtures of this folder's tests."""

from asked_server import asked_server, asked_target
from client_fixtures import ask, ask_either, face, feature_server, gateway, settings
from request_data_fakes import drivers

__all__ = [
    "ask",
    "ask_either",
    "asked_server",
    "asked_target",
    "drivers",
    "face",
    "feature_server",
    "gateway",
    "settings",
]
