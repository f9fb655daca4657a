"""What a stack is started with: ports, and the servers that stand in for the embedded ones."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from streamflow_local import postgres, valkey
from streamflow_local.layout import Layout

_MAX_PORT = 65535
_MAX_REPLICAS = 32


class ConfigError(ValueError):
    """A variable that can't be used; the message names it and what it takes."""


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """One stack's configuration."""

    gateway_grpc_port: int
    gateway_http_port: int

    feature_server_port: int
    """The first feature server's port; each replica's is one up."""

    feature_server_replicas: int

    redis_port: int
    """The embedded Valkey's port; unused with a REDIS_URL."""

    external_postgres_url: str | None
    """POSTGRES_URL: a PostgreSQL of the team's own, in place of the embedded one."""

    external_redis_url: str | None
    """REDIS_URL: a Redis of the team's own, in place of the embedded one."""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> "StackConfig":
        """Return an environment's configuration; raise ConfigError."""
        config = cls(
            gateway_grpc_port=_port(environment, "GATEWAY_GRPC_PORT", 50051),
            gateway_http_port=_port(environment, "GATEWAY_HTTP_PORT", 8000),
            feature_server_port=_port(environment, "FEATURE_SERVER_PORT", 6566),
            feature_server_replicas=_count(environment, "FEATURE_SERVER_REPLICAS", 2),
            redis_port=_port(environment, "REDIS_PORT", 6380),
            external_postgres_url=environment.get("POSTGRES_URL") or None,
            external_redis_url=environment.get("REDIS_URL") or None,
        )
        by_port: dict[int, str] = {}
        for variable, port in config.ports().items():
            if port in by_port:
                raise ConfigError(f"{by_port[port]} and {variable} are both {port}; set one of them to another port")
            by_port[port] = variable
        return config

    def ports(self) -> dict[str, int]:
        """Return the ports that the stack listens on, by the variable that sets each."""
        ports = {
            "GATEWAY_GRPC_PORT": self.gateway_grpc_port,
            "GATEWAY_HTTP_PORT": self.gateway_http_port,
            "FEATURE_SERVER_PORT": self.feature_server_port,
            **{
                f"FEATURE_SERVER_PORT (which is {above} below it)": port
                for above, port in enumerate(list(self.feature_servers().values())[1:], start=1)
            },
        }
        return ports if self.external_redis_url else {**ports, "REDIS_PORT": self.redis_port}

    def feature_servers(self) -> dict[str, int]:
        """Return the feature servers' names and ports."""
        return {
            f"feature-server-{number}": self.feature_server_port + number - 1
            for number in range(1, self.feature_server_replicas + 1)
        }

    def process_ports(self) -> dict[str, int]:
        """Return the port of each process that listens on one."""
        return {
            "valkey": self.redis_port,
            **self.feature_servers(),
            "gateway": self.gateway_grpc_port,
        }

    def postgres_url(self, layout: Layout) -> str:
        """Return the URL of the PostgreSQL in use."""
        return self.external_postgres_url or postgres.url(layout.postgres_socket_dir)

    @property
    def redis_url(self) -> str:
        """The URL of the Redis in use."""
        return self.external_redis_url or valkey.url(self.redis_port)

    def save(self, path: Path) -> None:
        """Write the configuration to a file that only its owner can read: URLs may hold passwords."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "StackConfig":
        """Return a saved configuration."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def _port(environment: Mapping[str, str], variable: str, default: int) -> int:
    text = environment.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) <= _MAX_PORT:
        raise ConfigError(f"{variable} is {text!r}; it takes a port from 1 to {_MAX_PORT}")
    return int(text)


def _count(environment: Mapping[str, str], variable: str, default: int) -> int:
    text = environment.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) <= _MAX_REPLICAS:
        raise ConfigError(f"{variable} is {text!r}; it takes a number from 1 to {_MAX_REPLICAS}")
    return int(text)
