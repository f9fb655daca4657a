"""A stack for tests, run as a user runs it."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamflow_features import FeatureClient, UserFeatures
from streamflow_local import ports
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.status import StackStatus, status
from streamflow_local.waiting import wait_until
from streamflow_offline.months import MonthFolder, find_months

BIN = Path(sys.executable).parent
CHECKOUT = Path(__file__).resolve().parents[3]
CANARY = "3413-BMNZE"
UP_TIMEOUT_S = 240
_HEALTHY_TIMEOUT_S = 60


@dataclass(frozen=True)
class Stack:
    """A stack for tests: its environment, and the months that it loads."""

    environment: dict[str, str]
    months: Path

    def local(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "local"), *arguments],
            env={**self.environment, **environment},
            check=False,
            capture_output=True,
            text=True,
            timeout=UP_TIMEOUT_S,
        )

    @contextmanager
    def up(self, *arguments: str) -> Iterator[str]:
        """Start it for a block; gives what `local up` printed. What a start that fails leaves is ended too."""
        try:
            result = self.local("up", *arguments)
            assert result.returncode == 0, result.stdout + result.stderr
            yield result.stdout
        finally:
            self.local("down")

    def offline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        urls = {"POSTGRES_URL": self.postgres_url, "REDIS_URL": self.config.redis_url}
        return subprocess.run(
            [str(BIN / "offline"), *arguments],
            env={**self.environment, **urls},
            check=True,
            capture_output=True,
            text=True,
            timeout=UP_TIMEOUT_S,
        )

    def in_shell(self, *command: str) -> list[str]:
        """A command in a shell that has read `.local/env`."""
        return ["bash", "-c", f'. {self.layout.environment_file} && exec "$@"', "bash", *command]

    @property
    def config(self) -> StackConfig:
        return StackConfig.of_environment(self.environment)

    @property
    def config_as_started(self) -> StackConfig:
        """The configuration of the last `up`, with what its options say."""
        return StackConfig.load(self.layout)

    @property
    def layout(self) -> Layout:
        return Layout.of_environment(self.environment)

    @property
    def postgres_url(self) -> str:
        return self.config.postgres_url(self.layout)

    @property
    def gateway(self) -> str:
        return f"127.0.0.1:{self.config.gateway_grpc_port}"

    @property
    def newest(self) -> MonthFolder:
        return find_months(self.months)[-1]

    def ask(self, user_id: str) -> UserFeatures:
        with FeatureClient(self.gateway, timeout_s=10) as client:
            return client.get_user_features(user_id)

    def status(self) -> StackStatus:
        """Return what `local status` prints."""
        return status(self.layout)

    def pids(self) -> dict[str, int | None]:
        """Return the pid of each process."""
        return {process.name: process.pid for process in self.status().processes}

    def wait_until_healthy(self) -> None:
        """Return once all processes are healthy; raise TimeoutError."""
        wait_until(
            self._require_health,
            failing=AssertionError,
            timeout_s=_HEALTHY_TIMEOUT_S,
            complaint=lambda: "not all processes are healthy",
        )

    def _require_health(self) -> None:
        found = self.status()
        assert found.healthy, found

    def http(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.config.gateway_http_port}{path}"
        with urllib.request.urlopen(url, timeout=10) as response:  # http by construction
            return json.load(response)


def stack_environment(state: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "FEAST_"))}
    variables = ("GATEWAY_GRPC_PORT", "GATEWAY_HTTP_PORT", "REDIS_PORT")
    inherited.pop("POSTGRES_URL", None)
    inherited.pop("REDIS_URL", None)
    inherited.pop("FEATURE_SERVER", None)
    inherited.pop("FEATURE_SERVER_ROUTES", None)
    first, _, *others = ports.free_ports(len(variables) + 2)
    free = {name: str(port) for name, port in zip(variables, others, strict=True)}
    free["FEATURE_SERVER_PORT"] = str(first)
    return {**inherited, "STREAMFLOW_STATE": str(state), **free}
