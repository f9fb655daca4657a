"""How a channel chooses gateways, notices that one is gone, and tries again."""

import json
from typing import Any

from streamflow.features.v1 import user_feature_service_pb2

_DESCRIPTOR = user_feature_service_pb2.DESCRIPTOR.services_by_name["UserFeatureService"]
_SERVICE = _DESCRIPTOR.full_name
# A stream is left out: gRPC would keep a copy of all that is sent on it. Its questions are asked again by _stream.py.
_RETRIED = ("GetUserFeatures", "BatchGetUserFeatures", "GetFeatureService", "ListFeatureServices")

# The gateway takes pings that are 10 s apart, of a connection with a call or a watch of health on it.
_KEEPALIVE_TIME_MS = 15_000
_KEEPALIVE_TIMEOUT_MS = 5_000

_OPTIONS = (
    # Otherwise gRPC stops after two pings while nothing is asked.
    ("grpc.http2.max_pings_without_data", 0),
    # Back soon to a gateway that was away, as the next may end once it is ready: gRPC waits up to 120 s in between.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    # How long one attempt may take; gRPC's 20 s would be spent on each address that is gone without a word.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    # So that a name's new addresses are known soon after a connection broke; gRPC waits 30 s between look-ups.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
)


def channel_options(*, follow_health: bool) -> list[tuple[str, Any]]:
    """Return the options of a channel that spreads calls over all of its target's addresses.

    `follow_health` leaves out those whose gRPC health is not SERVING.
    """
    return [
        *_OPTIONS,
        ("grpc.keepalive_time_ms", _KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        # gRPC goes by this, a minute by default, and not by the other (https://github.com/grpc/grpc/pull/39239).
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.service_config", json.dumps(_service_config(follow_health=follow_health))),
    ]


def _service_config(*, follow_health: bool) -> dict[str, Any]:
    config: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": _SERVICE, "method": method} for method in _RETRIED],
                "retryPolicy": {
                    # All calls are reads; the second attempt goes to the next gateway. With none that is ready, the
                    # others last for longer than it takes to be back at one.
                    "maxAttempts": 4,
                    "initialBackoff": "0.01s",
                    "maxBackoff": "0.1s",
                    "backoffMultiplier": 8,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        # Room for the calls of a moment without a gateway; past 500 failures in a row at most 10 % extra.
        "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.1},
    }
    if follow_health:
        config["healthCheckConfig"] = {"serviceName": _SERVICE}
    return config
