"""The fixtures of this folder's tests."""

from load_runs import feature_server, load, stored_users

__all__ = ["feature_server", "load", "stored_users"]
