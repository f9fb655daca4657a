"""`.local/env`: the running stack's connections, for a shell."""

import shlex

from streamflow_repo.settings.connections import feast_environment

from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout


def write_environment_file(config: StackConfig, layout: Layout) -> None:
    """Write what `offline` and `feast` read, as shell exports, readable to the owner alone."""
    postgres_url, redis_url = config.postgres_url(layout), config.redis_url
    variables = {
        "POSTGRES_URL": postgres_url,
        "REDIS_URL": redis_url,
        "GATEWAY_GRPC_PORT": str(config.gateway_grpc_port),
        "GATEWAY_HTTP_PORT": str(config.gateway_http_port),
        "FEATURE_SERVER_PORT": str(config.feature_server_port),
        "FEATURE_SERVER_REPLICAS": str(config.feature_server_replicas),
        **feast_environment(postgres_url=postgres_url, redis_url=redis_url),
    }
    path = layout.environment_file
    path.touch(mode=0o600)
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()), "utf-8")
