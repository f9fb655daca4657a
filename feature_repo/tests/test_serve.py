"""What the feature servers' start changes in Feast changes none of its replies."""

import pytest
from feast import feature_server_utils
from feast.feature_server_utils import convert_response_to_dict
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from streamflow_repo.serve import remember_timestamps


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> None:
    # Put back after the test.
    monkeypatch.setattr(feature_server_utils, "_timestamp_to_str", feature_server_utils._timestamp_to_str)


@pytest.mark.usefixtures("original")
def test_timestamps_are_written_as_feast_writes_them() -> None:
    reply = GetOnlineFeaturesResponse()
    column = reply.results.add()
    for seconds, nanos in ((0, 0), (1709164800, 0), (1709164800, 5), (1709164800, 5_000_000), (-1, 0), (-1, 5_000)):
        column.values.add(double_val=1.5)
        column.event_timestamps.add(seconds=seconds, nanos=nanos)
    feasts = convert_response_to_dict(reply)
    remember_timestamps()
    assert convert_response_to_dict(reply) == feasts
    assert convert_response_to_dict(reply) == feasts
