"""The answered call that `make up` ends with."""

from dataclasses import dataclass

import grpc
from streamflow_features import FeatureClient, FeatureServingError

from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.probe import Probe
from streamflow_local.secure import client_options, gateway_channel
from streamflow_local.status import CANARY_USER_ID

_TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A call that the gateway answered."""

    call: str
    """The method and what it was asked for."""

    lines: list[str]
    """A line for each feature."""

    grpc_service: str
    """The gRPC service that was called."""

    http_path: str
    """A path of the gateway's HTTP server that answers too."""


def ask(config: StackConfig, layout: Layout) -> Answer | None:
    """Ask the gateway for some row's features; return None if it does not answer."""
    return _of_repository(config, layout) if config.feature_repo else _of_streamflow(config, layout)


def _of_streamflow(config: StackConfig, layout: Layout) -> Answer | None:
    target = f"127.0.0.1:{config.gateway_grpc_port}"
    with FeatureClient(target, timeout_s=_TIMEOUT_S, **client_options(config, layout)) as client:
        try:
            features = client.get_user_features(CANARY_USER_ID)
        except FeatureServingError:
            return None
    return Answer(
        call=f"GetUserFeatures({CANARY_USER_ID})",
        lines=str(features).splitlines(),
        grpc_service="streamflow.features.v1.UserFeatureService",
        http_path=f"/features/{CANARY_USER_ID}",
    )


def _of_repository(config: StackConfig, layout: Layout) -> Answer | None:
    try:
        probe = Probe.load(layout.repository_probe)
        with gateway_channel(config, layout) as channel:
            lines = probe.ask(channel, timeout_s=_TIMEOUT_S)
    except (OSError, grpc.RpcError):
        return None
    row = ", ".join(f"{name}={value}" for name, (_, value) in probe.row.items())
    return Answer(
        call=f"GetOnlineFeatures({row})",
        lines=lines,
        grpc_service="feast.serving.ServingService",
        http_path="/ready",
    )
