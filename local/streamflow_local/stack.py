"""The processes of a stack, in the order in which they start."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from streamflow_offline.feast_store import FEATURE_REPO
from streamflow_repo import CONTRACT_PATH
from streamflow_repo.settings.feature_server import FeatureServer

from streamflow_local import postgres, valkey
from streamflow_local.accounts import redis_passwords
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.private_file import write_private
from streamflow_local.process import ProcessSpec
from streamflow_local.secure import gateway_variables, make_credentials

_BIN = Path(sys.executable).parent


def stores(config: StackConfig, layout: Layout) -> list[ProcessSpec]:
    """Return the embedded stores that no URL replaces; the first call creates their data."""
    specs = []
    if not config.external_postgres_url:
        specs.append(postgres.prepare(layout.postgres_data, layout.postgres_socket_dir))
    if not config.external_redis_url:
        valkey.write_users(layout.valkey_users, redis_passwords(layout), default=not config.secure)
        specs.append(valkey.prepare(layout.valkey_data, port=config.redis_port, users=layout.valkey_users))
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


def gateway(
    config: StackConfig, *, contract: Path = CONTRACT_PATH, secured: Mapping[str, str] = MappingProxyType({})
) -> ProcessSpec:
    """Return the gateway in front of the feature servers; `secured` are its settings of TLS and tokens."""
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
            "GATEWAY_PAGES": "true",
            "GATEWAY_DEFAULT_FEATURE_SERVICE": "" if config.feature_repo else "churn_v1",
            **secured,
        },
        port=config.gateway_grpc_port,
    )


def processes(config: StackConfig, layout: Layout, *, feast: Mapping[str, str]) -> list[ProcessSpec]:
    """Return all processes, in the order in which they start.

    `feast` are variables with passwords, which the feature servers alone get; the call writes them to a file.
    """
    folder, contract = FEATURE_REPO, CONTRACT_PATH
    if config.feature_repo:
        folder, contract = Path(config.feature_repo), layout.repository_contract
    variables = {"FEATURE_SERVER_ROUTES": config.feature_server_routes.value, **feast}
    secured = {}
    if config.secure:
        make_credentials(layout)
        secured = gateway_variables(layout)
    write_private(layout.feature_server_variables, json.dumps(variables))
    return [
        *stores(config, layout),
        *(
            _wrapped(feature_server(port, name=name, feature_repo=folder, server=config.feature_server), layout)
            for name, port in config.feature_servers().items()
        ),
        gateway(config, contract=contract, secured=secured),
    ]


def _wrapped(spec: ProcessSpec, layout: Layout) -> ProcessSpec:
    """Return a feature server with a start that reads its variables and kills what an earlier start left behind."""
    run = (sys.executable, "-m")
    with_variables = (*run, "streamflow_local.with_variables", str(layout.feature_server_variables))
    reclaiming = (*run, "streamflow_local.reclaim", str(layout.run / f"{spec.name}.group"))
    return replace(spec, command=(*with_variables, *reclaiming, *spec.command))
