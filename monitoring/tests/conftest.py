"""The fixtures of this folder's tests."""

from gateway_fixtures import contract_path, feature_server, gateway, grpc_engine, settings

__all__ = ["contract_path", "feature_server", "gateway", "grpc_engine", "settings"]
