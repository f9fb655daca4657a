"""The processes of a stack, in the order in which they start."""

import sys
from dataclasses import replace
from pathlib import Path

from streamflow_offline.feast_store import FEATURE_REPO
from streamflow_repo import CONTRACT_PATH
from streamflow_repo.settings.feature_server import FeatureServer

from streamflow_local import postgres, valkey
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.process import ProcessSpec

_BIN = Path(sys.executable).parent


def stores(config: StackConfig, layout: Layout) -> list[ProcessSpec]:
    """Return the embedded stores that no URL replaces; the first call creates their data."""
    specs = []
    if not config.external_postgres_url:
        specs.append(postgres.prepare(layout.postgres_data, layout.postgres_socket_dir))
    if not config.external_redis_url:
        specs.append(valkey.prepare(layout.valkey_data, port=config.redis_port))
    return specs


def feature_server(
    port: int,
    *,
    name: str = "feature-server-1",
    feature_repo: Path = FEATURE_REPO,
    server: FeatureServer = FeatureServer.STREAMFLOW,
) -> ProcessSpec:
    """Return a feature server. The environment has to contain the variables of feature_store.yaml.

    Both servers get the same options. Feast's own runs without PYTHONOPTIMIZE, as a team runs `feast serve`.
    """
    environment = {"FEATURE_SERVER": server.value}
    if server is FeatureServer.STREAMFLOW:
        # Disables typeguard's run-time checks in Feast's from_proto: 1.7 times as many requests a second for one user.
        environment["PYTHONOPTIMIZE"] = "1"
    return ProcessSpec(
        name=name,
        command=(
            *(sys.executable, "-m", "streamflow_repo.server"),
            "serve",
            *("--host", "127.0.0.1"),
            *("--port", str(port)),
            # More workers would share a PostgreSQL connection across a fork (feast #5784). Replicas are processes.
            *("--workers", "1"),
            # The default restarts the worker after 1,000 requests: every few seconds under load.
            *("--max-requests", "0"),
            *("--registry_ttl_sec", "60"),
            "--no-access-log",
        ),
        directory=feature_repo,
        environment=environment,
        port=port,
    )


def gateway(config: StackConfig, *, contract: Path = CONTRACT_PATH) -> ProcessSpec:
    """Return the gateway in front of the feature servers."""
    return ProcessSpec(
        name="gateway",
        command=(str(_BIN / "feature-gateway"),),
        environment={
            "GATEWAY_GRPC_PORT": str(config.gateway_grpc_port),
            "GATEWAY_HTTP_PORT": str(config.gateway_http_port),
            "GATEWAY_FEATURE_SERVER_URLS": ",".join(
                f"http://127.0.0.1:{port}" for port in config.feature_servers().values()
            ),
            "GATEWAY_CONTRACT_PATH": str(contract),
            "GATEWAY_DEFAULT_FEATURE_SERVICE": "" if config.feature_repo else "churn_v1",
        },
        port=config.gateway_grpc_port,
    )


def processes(config: StackConfig, layout: Layout) -> list[ProcessSpec]:
    """Return all processes, in the order in which they start."""
    folder, contract = FEATURE_REPO, CONTRACT_PATH
    if config.feature_repo:
        folder, contract = Path(config.feature_repo), layout.repository_contract
    return [
        *stores(config, layout),
        *(
            _reclaiming(feature_server(port, name=name, feature_repo=folder, server=config.feature_server), layout)
            for name, port in config.feature_servers().items()
        ),
        gateway(config, contract=contract),
    ]


def _reclaiming(spec: ProcessSpec, layout: Layout) -> ProcessSpec:
    """Return the process with a start that first kills what an earlier start left behind."""
    note = layout.run / f"{spec.name}.group"
    return replace(spec, command=(sys.executable, "-m", "streamflow_local.reclaim", str(note), *spec.command))
