"""What gRPC itself does for a call is tested with each engine."""

import pytest
from gateway_fakes import GRPC_ENGINE

_WITH_EACH_ENGINE = {
    "test_calls",
    "test_connection_age",
    "test_drain_streams",
    "test_large_errors",
    "test_leaving",
    "test_message_limits",
    "test_reflection",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of some modules with both engines, unless the environment says with which one."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in _WITH_EACH_ENGINE and "grpc_engine" in metafunc.fixturenames and GRPC_ENGINE == "grpcio":
        metafunc.parametrize("grpc_engine", ["grpcio", "native"])
