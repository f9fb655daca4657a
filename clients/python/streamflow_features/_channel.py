"""The options of a channel: how it chooses gateways, notices that a gateway is gone, and retries."""

import json
from typing import Any

from streamflow.features.feast.serving import ServingService_pb2
from streamflow.features.v1 import user_feature_service_pb2

_DESCRIPTOR = user_feature_service_pb2.DESCRIPTOR.services_by_name["UserFeatureService"]
_SERVICE = _DESCRIPTOR.full_name
_FEAST_SERVICE = ServingService_pb2.DESCRIPTOR.services_by_name["ServingService"].full_name
BATCH_METHOD = f"/{_SERVICE}/BatchGetUserFeatures"
"""gRPC's path of the method."""

# StreamUserFeatures is not here, because gRPC would keep a copy of everything sent. _stream.py repeats its questions.
_RETRIED = ("GetUserFeatures", "BatchGetUserFeatures", "GetFeatureService", "ListFeatureServices")

# The gateway accepts a ping every 10 s on a connection with a call or a health watch.
_KEEPALIVE_TIME_MS = 15_000
_KEEPALIVE_TIMEOUT_MS = 5_000

_OPTIONS = (
    # A batch of 1,000 users with an embedding of 768 doubles has 6 MB. gRPC's default allows 4 MiB.
    ("grpc.max_receive_message_length", -1),
    # gRPC's default stops after two pings without a call.
    ("grpc.http2.max_pings_without_data", 0),
    # Reconnect quickly: in a rolling restart the next gateway may stop as soon as this one is ready. gRPC's default
    # waits up to 120 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    # The time for one connection attempt. gRPC's default spends 20 s on each address that does not respond.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    # Find a name's new addresses soon after a connection broke. gRPC's default waits 30 s between look-ups.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
)


def channel_options(*, follow_health: bool) -> list[tuple[str, Any]]:
    """Return the options of a channel that spreads calls over all addresses of its target.

    With `follow_health` the channel skips addresses whose gRPC health is not SERVING.
    """
    return [
        *_OPTIONS,
        ("grpc.keepalive_time_ms", _KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        # gRPC reads this option, by default a minute, and ignores the one above (https://github.com/grpc/grpc/pull/39239).
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.service_config", json.dumps(_service_config(follow_health=follow_health))),
    ]


def authority_of(target: str) -> list[tuple[str, Any]]:
    """Return the option that names the host of a target without TLS; none for a target that is one host.

    gRPC would send a list of addresses as it is, which servers other than gRPC's own refuse as malformed.
    """
    return [("grpc.default_authority", target.partition(":")[2].partition(",")[0])] if "," in target else []


def _service_config(*, follow_health: bool) -> dict[str, Any]:
    config: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [
                    *({"service": _SERVICE, "method": method} for method in _RETRIED),
                    {"service": _FEAST_SERVICE},
                ],
                "retryPolicy": {
                    # A retry is safe because all calls are reads. The second attempt goes to the next gateway. The
                    # other attempts last longer than a reconnect takes.
                    "maxAttempts": 4,
                    "initialBackoff": "0.01s",
                    "maxBackoff": "0.1s",
                    "backoffMultiplier": 8,
                    # gRPC's server ends a call that arrives after it has stopped as CANCELLED. A call that the caller
                    # cancels is not retried. The gateway ends no call as UNKNOWN, but gRPC does, in some languages,
                    # when a connection is lost.
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED", "UNKNOWN"],
                },
            }
        ],
        # Retries for a moment without any gateway. After 500 failures in a row, at most 10 % extra calls.
        "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.1},
    }
    if follow_health:
        config["healthCheckConfig"] = {"serviceName": _SERVICE}
    return config
