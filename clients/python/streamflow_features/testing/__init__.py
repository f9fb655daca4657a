"""For the tests of what uses the client: clients and a gRPC server that serve the features that a test gives."""

from streamflow_features.testing._contract import Contract
from streamflow_features.testing._fakes import FakeAsyncFeatureClient, FakeFeatureClient
from streamflow_features.testing._server import FeatureServer, ServedOptions
from streamflow_features.testing._users import ServedUser, Users

__all__ = [
    "Contract",
    "FakeAsyncFeatureClient",
    "FakeFeatureClient",
    "FeatureServer",
    "ServedOptions",
    "ServedUser",
    "Users",
]
