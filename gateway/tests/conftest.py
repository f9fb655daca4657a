"""The fixtures of this folder's tests."""

from gateway_fixtures import contract_path, feature_server, gateway, grpc_engine, settings
from request_data_fakes import drivers

__all__ = ["contract_path", "drivers", "feature_server", "gateway", "grpc_engine", "settings"]
