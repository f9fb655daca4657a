"""What a stack is started with: its ports, and the URLs of stores that replace the embedded ones."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from streamflow_repo.settings.feature_server import FeatureServer, Routes, feature_server, routes_of
from streamflow_repo.settings.postgres_url import parse_postgres_url
from streamflow_repo.settings.redis_url import parse_redis_url

from streamflow_local import postgres, valkey
from streamflow_local.layout import Layout
from streamflow_local.private_file import write_private

_MAX_PORT = 65535
_MAX_REPLICAS = 32
# Apart from StreamFlow's: another repository's project may have the same name.
_REPOSITORY_DATABASE = "repository"
_REPOSITORY_REDIS_DATABASE = 1


class ConfigError(ValueError):
    """A variable of the environment has a value that can't be used; the message names both and says what to set."""


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """The configuration of one stack."""

    gateway_grpc_port: int
    gateway_http_port: int

    feature_server: FeatureServer = FeatureServer.STREAMFLOW
    """Which feature server runs: StreamFlow's, or Feast's own."""

    feature_server_routes: Routes = Routes.READS
    """Which of Feast's routes the feature servers have. With ALL they may write to the stores."""

    feature_server_port: int
    """The port of the first feature server; each further replica uses the next port."""

    feature_server_replicas: int

    redis_port: int
    """The port of the embedded Valkey; unused with REDIS_URL."""

    external_postgres_url: str | None
    """POSTGRES_URL: your own PostgreSQL, instead of the embedded one."""

    external_redis_url: str | None
    """REDIS_URL: your own Redis, instead of the embedded Valkey."""

    secure: bool = False
    """Whether the gateway has TLS and asks for a token, and Valkey for a password."""

    feature_repo: str | None = None
    """The folder of another Feast repository that the stack serves; None for StreamFlow's."""

    @classmethod
    def of_environment(
        cls, environment: Mapping[str, str], *, feature_repo: Path | None = None, secure: bool = False
    ) -> "StackConfig":
        """Return the configuration that the environment sets, for StreamFlow's repository or another.

        Raises ConfigError, ConnectionUrlError and FeatureServerError.
        """
        config = cls(
            gateway_grpc_port=_port(environment, "GATEWAY_GRPC_PORT", 50051),
            gateway_http_port=_port(environment, "GATEWAY_HTTP_PORT", 8000),
            feature_server=feature_server(environment),
            feature_server_routes=routes_of(environment),
            feature_server_port=_port(environment, "FEATURE_SERVER_PORT", 6566),
            feature_server_replicas=_number(
                environment, "FEATURE_SERVER_REPLICAS", 2, what="number", most=_MAX_REPLICAS
            ),
            redis_port=_port(environment, "REDIS_PORT", 6380),
            external_postgres_url=environment.get("POSTGRES_URL") or None,
            external_redis_url=environment.get("REDIS_URL") or None,
            secure=secure,
            feature_repo=str(feature_repo.resolve()) if feature_repo else None,
        )
        if config.external_postgres_url:
            parse_postgres_url(config.external_postgres_url)
        parse_redis_url(config.redis_url)
        by_port: dict[int, str] = {}
        for variable, port in config.ports().items():
            if port in by_port:
                raise ConfigError(f"{by_port[port]} and {variable} are both {port}; set one of them to another port")
            by_port[port] = variable
        return config

    def ports(self) -> dict[str, int]:
        """Return the ports that the stack listens on, by the variable that sets each port."""
        servers = list(self.feature_servers().values())
        ports = {
            "GATEWAY_GRPC_PORT": self.gateway_grpc_port,
            "GATEWAY_HTTP_PORT": self.gateway_http_port,
            "FEATURE_SERVER_PORT": self.feature_server_port,
            **{f"FEATURE_SERVER_PORT (which is {above} below it)": servers[above] for above in range(1, len(servers))},
        }
        return ports if self.external_redis_url else {**ports, "REDIS_PORT": self.redis_port}

    def feature_servers(self) -> dict[str, int]:
        """Return the names and ports of the feature servers."""
        return {
            f"feature-server-{number}": self.feature_server_port + number - 1
            for number in range(1, self.feature_server_replicas + 1)
        }

    def process_ports(self) -> dict[str, int]:
        """Return the port of each process that listens on a port."""
        return {
            "valkey": self.redis_port,
            **self.feature_servers(),
            "gateway": self.gateway_grpc_port,
        }

    def postgres_url(self, layout: Layout) -> str:
        """Return the URL of the PostgreSQL in use."""
        return self.external_postgres_url or postgres.url(layout.postgres_socket_dir, self.database)

    @property
    def database(self) -> str:
        """The database of the embedded PostgreSQL in use."""
        return _REPOSITORY_DATABASE if self.feature_repo else postgres.DATABASE

    @property
    def redis_url(self) -> str:
        """The URL of the Redis in use."""
        embedded = valkey.url(self.redis_port)
        return self.external_redis_url or (f"{embedded}/{self.redis_database}" if self.redis_database else embedded)

    @property
    def redis_database(self) -> int:
        """The database of the embedded Valkey in use."""
        return _REPOSITORY_REDIS_DATABASE if self.feature_repo else 0

    def save(self, layout: Layout) -> None:
        """Write the configuration for `load`."""
        write_private(layout.started_with, json.dumps(asdict(self), indent=2) + "\n")

    def export(self, layout: Layout, *, redis_url: str, others: Mapping[str, str]) -> None:
        """Write `.local/env`: the connections and other variables as exports for a shell."""
        exports = {
            "POSTGRES_URL": self.postgres_url(layout),
            "REDIS_URL": redis_url,
            "GATEWAY_GRPC_PORT": str(self.gateway_grpc_port),
            "GATEWAY_HTTP_PORT": str(self.gateway_http_port),
            "FEATURE_SERVER": self.feature_server.value,
            "FEATURE_SERVER_ROUTES": self.feature_server_routes.value,
            "FEATURE_SERVER_PORT": str(self.feature_server_port),
            "FEATURE_SERVER_REPLICAS": str(self.feature_server_replicas),
            **others,
        }
        text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in exports.items())
        write_private(layout.environment_file, text)

    @classmethod
    def load(cls, layout: Layout) -> "StackConfig":
        """Return the configuration that the stack was last started with."""
        saved = json.loads(layout.started_with.read_text(encoding="utf-8"))
        chosen = {
            "FEATURE_SERVER": saved.get("feature_server", ""),
            "FEATURE_SERVER_ROUTES": saved.get("feature_server_routes", ""),
        }
        return cls(**{**saved, "feature_server": feature_server(chosen), "feature_server_routes": routes_of(chosen)})


def _port(environment: Mapping[str, str], variable: str, default: int) -> int:
    return _number(environment, variable, default, what="port", most=_MAX_PORT)


def _number(environment: Mapping[str, str], variable: str, default: int, *, what: str, most: int) -> int:
    text = environment.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) <= most:
        raise ConfigError(f"{variable} is {text!r}; set it to a {what} from 1 to {most}")
    return int(text)
