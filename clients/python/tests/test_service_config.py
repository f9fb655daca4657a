"""The client's channels are configured as callers in other languages are."""

import json
from pathlib import Path

from streamflow_features._channel import channel_options

_SHARED = Path(__file__).parents[3] / "protos" / "service_config.json"


def test_the_client_has_the_service_config_that_all_languages_share() -> None:
    options = dict(channel_options(follow_health=True))
    assert json.loads(options["grpc.service_config"]) == json.loads(_SHARED.read_text(encoding="utf-8"))
